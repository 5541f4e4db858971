import { ProxyRoute } from '../proxy/route.js'
import { actAutomatically } from './automatic-acts.js'
import { Directory } from './directory.js'
import { tellGroupChanges } from './group-changes.js'
import { configOf, isWanted } from './session-settings.js'

/**
 * What a session does beside its messages: its settings, what it knows of contacts and chats, and operations that are asked
 * of it while its socket is open.
 */
export class Activity {
  /** @type {ProxyRoute | null} */
  #route = null
  /** @type {import('../operations/perform.js').Context | null} */
  #context = null
  #directory
  #parts

  /**
   * @param {import('./session-settings.js').SessionSettings} settings
   * @param {object} parts
   * @param {import('./directory.js').Note} parts.note
   * @param {(type: string, data: Record<string, unknown>) => void} parts.report
   * @param {(message: {to: string, type: 'text', text: string}) => Promise<unknown>} parts.send
   * @param {import('../proxy/tunnel.js').Permits} parts.permitsProxyAt
   * @param {import('../clock.js').Clock} parts.clock
   * @param {import('../log.js').Logger} parts.log
   */
  constructor(settings, parts) {
    this.settings = settings
    this.#parts = parts
    this.#directory = new Directory(parts)
  }

  /** Whether messages of a chat are told. @param {string} chat */
  wants = chat => isWanted(this.settings, chat)

  /** What downloads go through: the session's proxy, if it has one. */
  get dispatcher() {
    return this.#route?.dispatcher
  }

  /** For a new socket. @param {string} webSocketUrl */
  configFor(webSocketUrl) {
    this.detach()
    this.#route = this.settings.proxy === null ? null : new ProxyRoute(this.settings.proxy, webSocketUrl, this.#parts.permitsProxyAt)
    return configOf(this.settings, this.#route)
  }

  /** @param {any} sock */
  attach(sock) {
    const { report, send, clock, log } = this.#parts
    this.#context = { sock, directory: this.#directory, cache: new Map(), clock }
    this.#directory.attach(sock)
    tellGroupChanges(sock, { wants: this.wants, report, log })
    actAutomatically(sock, { settings: () => this.settings, report, send, log })
    sock.ev.on('presence.update', (/** @type {any} */ { id, presences }) => {
      for (const [participant, { lastKnownPresence, lastSeen }] of Object.entries(presences)) {
        report('presence.update', { chat: id, participant, presence: lastKnownPresence, last_seen: lastSeen ?? null })
      }
    })
  }

  /** The socket ended. */
  detach() {
    this.#context = null
    this.#route?.close()
    this.#route = null
  }

  /**
   * @param {(context: import('../operations/perform.js').Context) => Promise<object>} operation
   * @returns {Promise<object> | null} null: there is no socket
   */
  perform(operation) {
    return this.#context && operation(this.#context)
  }

  /** What changes at once; the rest is looked up when it matters. @param {import('./session-settings.js').SessionSettings} settings */
  async apply(settings) {
    const before = this.settings
    this.settings = settings
    if (before.mark_online !== settings.mark_online) await this.#context?.sock.sendPresenceUpdate(settings.mark_online ? 'available' : 'unavailable')
  }
}
