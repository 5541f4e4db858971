import { AsyncLocalStorage } from 'node:async_hooks'
import { generateMessageIDV2, proto } from '@whiskeysockets/baileys'
import { LRUCache } from 'lru-cache'
import { safeError } from '../log.js'
import { makeContent } from '../messages/content.js'
import { Recipients } from '../messages/recipients.js'
import { ControlError } from './control-error.js'

/** Receivers ask for a message again within minutes, and mostly within seconds. */
const REMEMBERED_MESSAGES = 500

/**
 * Sends over one socket, and answers when a receiver couldn't decrypt and asks for a message again.
 */
export class Sender {
  /** @type {LRUCache<string, {to: string, message: proto.IMessage}>} */
  #sent = new LRUCache({ max: REMEMBERED_MESSAGES })
  /** @type {Set<Promise<unknown>>} */
  #inFlight = new Set()
  /** @type {Map<string, number>} when each message was written that WhatsApp hasn't acknowledged, the oldest first */
  #unacknowledged = new Map()
  #refusing = false
  /** @type {AsyncLocalStorage<{written: boolean}>} the send that the code runs for */
  #sending = new AsyncLocalStorage()
  /** @type {any} Baileys' socket */
  #sock = null
  #recipients
  #authState
  #backup
  #media
  #report
  #clock
  #log

  /**
   * @param {object} parts
   * @param {import('../auth-state/auth-state.js').AuthState} parts.authState
   * @param {import('../orchestrator/session-backup.js').SessionBackup} parts.backup
   * @param {import('../messages/media.js').Media} parts.media
   * @param {(type: string, data: Record<string, unknown>) => void} parts.report
   * @param {import('../clock.js').Clock} parts.clock
   * @param {import('../log.js').Logger} parts.log
   */
  constructor({ authState, backup, media, report, clock, log }) {
    this.#recipients = new Recipients(log)
    this.#authState = authState
    this.#backup = backup
    this.#media = media
    this.#report = report
    this.#clock = clock
    this.#log = log
  }

  /** @param {any} sock */
  attach(sock) {
    this.#sock = sock
    this.#watchForWritten(sock.authState)
    sock.ws.on('CB:ack,class:message', (/** @type {any} */ node) => this.#onServerAck(node))
  }

  /**
   * @param {import('../messages/content.js').OutgoingMessage} message
   * @returns {Promise<{message_id: string, to: string}>} after the stanza was written to the socket
   */
  send(message) {
    if (this.#refusing) throw new ControlError('shutting_down', 'The session is being closed; send again when it is back.')
    const sending = this.#send(message)
    this.#inFlight.add(sending)
    sending.catch(() => {}).finally(() => this.#inFlight.delete(sending))
    return sending
  }

  /**
   * @param {proto.IMessage} message
   * @param {AbortSignal} signal
   */
  download(message, signal) {
    return this.#media.download(this.#sock, message, signal)
  }

  refuse() {
    this.#refusing = true
  }

  /** Resolves when nothing is being sent. */
  async idle() {
    await Promise.allSettled([...this.#inFlight])
  }

  /**
   * For Baileys' `getMessage`: the content of a message that a receiver asks for again.
   * @param {{id?: string | null}} key
   * @returns {Promise<proto.IMessage | undefined>}
   */
  getMessage = async ({ id }) => {
    if (!id) return undefined
    const remembered = this.#sent.get(id)
    if (remembered) return remembered.message
    try {
      const stored = await this.#backup.readSentMessage(id)
      return stored ? proto.Message.decode(stored) : undefined
    } catch (error) {
      this.#log.warn(safeError(error), 'sent_message_unknown')
      return undefined
    }
  }

  /**
   * The chat that a message was sent to, as the sender named it: receipts may come from the contact's other address.
   * @param {string} messageId
   */
  chatOf(messageId) {
    return this.#sent.get(messageId)?.to
  }

  /**
   * How long WhatsApp has owed us the acknowledgement of a message; 0 when it owes none.
   * @param {number} now of the clock's uptime
   */
  longestUnacknowledgedMs(now) {
    for (const writtenAt of this.#unacknowledged.values()) return now - writtenAt
    return 0
  }

  /** @param {import('../messages/content.js').OutgoingMessage} message */
  async #send(message) {
    const userJid = /** @type {string} */ (this.#authState.creds.me?.id)
    const messageId = message.message_id ?? generateMessageIDV2(userJid)
    const sending = { written: false }
    try {
      const to = await this.#recipients.find(this.#sock, message.to)
      const { content, relay } = await makeContent({ ...message, to }, {
        userJid,
        messageId,
        upload: (kind, file) => this.#media.upload(this.#sock, kind, file),
        path: file => this.#media.path(file),
        log: this.#log
      })
      this.#sent.set(messageId, { to, message: content })
      // Ahead of the ratchet step in the same ordered queue, so durable before the stanza can leave.
      this.#authState.stageSentMessage(messageId, content)
      this.#unacknowledged.set(messageId, this.#clock.uptime())
      await this.#sending.run(sending, () => this.#sock.relayMessage(to, content, { messageId, ...relay }))
      return { message_id: messageId, to }
    } catch (error) {
      if (error instanceof ControlError) throw error
      if (sending.written) {
        // Sent it is, and its ratchets were durable before; what is lost is a cache, such as a device list.
        this.#log.error(safeError(error), 'send_not_committed')
        return { message_id: messageId, to: this.chatOf(messageId) ?? message.to }
      }
      this.#unacknowledged.delete(messageId)
      this.#log.warn(safeError(error), 'send_failed')
      throw new ControlError('send_failed', `The message was not written: ${/** @type {Error} */ (error).message}`, { cause: error })
    }
  }

  /**
   * Baileys writes the stanza as the last step of a transaction of its own, named by our JID: when the step is done and
   * the send fails nevertheless, it was the commit that failed.
   * @param {import('@whiskeysockets/baileys').SignalCreds & any} authState of the socket
   */
  #watchForWritten({ creds, keys }) {
    const { transaction } = keys
    keys.transaction = (/** @type {() => Promise<any>} */ work, /** @type {string} */ name) => {
      const sending = this.#sending.getStore()
      if (!sending || name !== creds.me?.id) return transaction(work, name)
      return transaction(async () => {
        const result = await work()
        sending.written = true
        return result
      }, name)
    }
  }

  /** @param {{attrs: Record<string, string>}} node WhatsApp's server took the message; Baileys tells only failures */
  #onServerAck({ attrs }) {
    this.#unacknowledged.delete(attrs.id)
    const chat = this.chatOf(attrs.id)
    if (chat && !attrs.error) this.#report('message.receipt', { message_id: attrs.id, chat, status: 'sent', participant: null })
  }
}
