/** A small Baileys client for this folder's tests: in-memory auth state, and waiting for conditions. */
import './quiet.js'
import './unref-timers.js'
import {
  BufferJSON,
  DisconnectReason,
  initAuthCreds,
  makeCacheableSignalKeyStore,
  makeWASocket,
  proto,
  WA_CERT_DETAILS,
} from '@whiskeysockets/baileys'
import { PATIENCE } from '../support/until.js'

/** @typedef {import('./server.js').FakeWhatsApp} FakeWhatsApp */

const DEADLINE_MS = 15_000

/** @returns {any} pino's shape, writing nothing */
function silentLogger() {
  const nothing = () => {}
  const logger = { level: 'silent', trace: nothing, debug: nothing, info: nothing, warn: nothing, error: nothing }
  return { ...logger, child: () => silentLogger() }
}

/** An auth state kept as text, so that what comes back went through serialization as it would on a disk. */
export class MemoryAuth {
  constructor() {
    this.creds = JSON.stringify(initAuthCreds(), BufferJSON.replacer)
    /** @type {Map<string, string>} */
    this.keys = new Map()
  }

  /** A copy, as an old backup would hold it. */
  copy() {
    const copy = new MemoryAuth()
    copy.creds = this.creds
    copy.keys = new Map(this.keys)
    return copy
  }

  /** @returns {any} a fresh Baileys auth state on this store */
  state() {
    const creds = JSON.parse(this.creds, BufferJSON.reviver)
    const store = { get: this.#get.bind(this), set: this.#set.bind(this) }
    return { creds, keys: makeCacheableSignalKeyStore(/** @type {any} */ (store), silentLogger()) }
  }

  /**
   * @param {string} type
   * @param {string[]} ids
   */
  async #get(type, ids) {
    /** @type {Record<string, any>} */
    const found = {}
    for (const id of ids) {
      const text = this.keys.get(`${type} ${id}`)
      const value = text && JSON.parse(text, BufferJSON.reviver)
      if (value) found[id] = type === 'app-state-sync-key' ? proto.Message.AppStateSyncKeyData.fromObject(value) : value
    }
    return found
  }

  /** @param {Record<string, Record<string, unknown>>} data */
  async #set(data) {
    for (const [type, values] of Object.entries(data)) {
      for (const [id, value] of Object.entries(values)) {
        if (value) this.keys.set(`${type} ${id}`, JSON.stringify(value, BufferJSON.replacer))
        else this.keys.delete(`${type} ${id}`)
      }
    }
  }
}

/** One socket of one auth state, and what it said so far. */
export class Client {
  /**
   * @param {FakeWhatsApp} server
   * @param {MemoryAuth} [auth]
   * @param {Record<string, unknown>} [config] on top of the tests' fast settings
   */
  constructor(server, auth = new MemoryAuth(), config = {}) {
    WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(server.rootKey, 'hex')
    this.auth = auth
    const state = auth.state()
    /** @type {Map<string, any>} what `getMessage` answers retry receipts from */
    this.written = new Map()
    this.socket = makeWASocket({
      auth: state,
      waWebSocketUrl: server.wsUrl,
      logger: silentLogger(),
      retryRequestDelayMs: 10,
      getMessage: async key => this.written.get(String(key.id)),
      ...config,
    })
    /** @type {any[]} */
    this.updates = []
    /** @type {any[]} */
    this.messages = []
    this.socket.ev.on('connection.update', update => this.updates.push(update))
    this.socket.ev.on('messages.upsert', ({ messages }) => this.messages.push(...messages))
    this.socket.ev.on('creds.update', () => {
      auth.creds = JSON.stringify(state.creds, BufferJSON.replacer)
    })
  }

  get qr() {
    return this.updates.findLast(update => update.qr)?.qr
  }

  get closeCode() {
    const closed = this.updates.find(update => update.connection === 'close')
    return closed && (closed.lastDisconnect?.error?.output?.statusCode ?? 0)
  }

  get isOpen() {
    return this.updates.some(update => update.connection === 'open') && this.closeCode === undefined
  }

  /** @param {string} text */
  received(text) {
    return this.messages.find(({ message }) => textOf(message) === text)
  }

  /** True once upserts are not held back any more. */
  get isSynced() {
    return JSON.parse(this.auth.creds).accountSyncCounter > 0
  }

  opened() {
    return until(() => this.isOpen && this.updates.some(update => update.receivedPendingNotifications), 'open')
  }

  closed() {
    return until(() => this.closeCode, 'closed')
  }

  /**
   * @param {string} jid
   * @param {string} text
   */
  async send(jid, text) {
    const sent = await this.socket.sendMessage(jid, { text })
    this.written.set(String(sent?.key.id), sent?.message)
    return String(sent?.key.id)
  }

  /** Leaves without a word to the server's user, the stored state included. */
  end() {
    return this.socket.end(undefined)
  }
}

/** @param {any} message */
export const textOf = message => message?.conversation || message?.extendedTextMessage?.text

/**
 * Links a new client to a phone by QR and returns it logged in.
 *
 * @param {FakeWhatsApp} server
 * @param {string} phone
 * @param {Record<string, unknown>} [config]
 */
export async function linked(server, phone, config) {
  const registering = new Client(server, undefined, config)
  const qr = await until(() => registering.qr, 'qr')
  await post(server, '/scan', { qr, phone })
  const code = await registering.closed()
  if (code !== DisconnectReason.restartRequired) throw new Error(`closed with ${code} after pairing`)
  const client = new Client(server, registering.auth, config)
  await client.opened()
  await until(() => client.isSynced, 'synced with the phone')
  return client
}

/**
 * Polls a condition; every wait of a test has a deadline.
 *
 * @template T
 * @param {() => T} condition
 * @param {string} what
 * @returns {Promise<NonNullable<T>>}
 */
export async function until(condition, what, deadlineMs = DEADLINE_MS) {
  const deadline = Date.now() + deadlineMs * PATIENCE
  for (;;) {
    const value = condition()
    if (value) return /** @type {NonNullable<T>} */ (value)
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

/**
 * @param {FakeWhatsApp} server
 * @param {string} path
 * @param {unknown} [body]
 * @returns {Promise<any>}
 */
export const post = (server, path, body = {}) => request(server, 'POST', path, body)

/**
 * @param {FakeWhatsApp} server
 * @param {string} path
 * @returns {Promise<any>}
 */
export const get = (server, path) => request(server, 'GET', path)

/**
 * @param {FakeWhatsApp} server
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @returns {Promise<any>}
 */
export async function request(server, method, path, body) {
  const answer = await fetch(server.controlUrl + path, { method, body: body === undefined ? undefined : JSON.stringify(body) })
  const value = /** @type {any} */ (await answer.json())
  if (!answer.ok) throw Object.assign(new Error(`${method} ${path}: ${value.detail}`), { ...value, status: answer.status })
  return value
}
