/**
 * @typedef {[type: string, id: string, text: string | null]} KeyChange null deletes
 * @typedef {{jid: string, lid: string | null}} Account
 * @typedef {{text: string, account: Account}} Creds
 *
 * @typedef {object} Change
 * @property {Creds} [creds]
 * @property {KeyChange[]} [keys]
 * @property {[messageId: string, message: Uint8Array][]} [sentMessages] encoded proto.Message
 * @property {[messageKey: string, text: string][]} [incoming] messages received, as docs/internal-api.md says
 * @property {boolean} [awaited] the caller looks at the promise, so `drained` need not tell that it was refused
 *
 * @typedef {object} Write what the store and the journal take, named as in docs/internal-api.md
 * @property {string | null} creds
 * @property {Account | null} account
 * @property {[type: string, id: string, text: string][]} set
 * @property {[type: string, id: string][]} delete
 * @property {[messageId: string, message: Uint8Array][]} sent_messages
 * @property {[messageKey: string, text: string][]} incoming_messages
 *
 * @typedef {{change: Change, resolve: () => void, reject: (error: Error) => void}} Waiter
 */

/** @param {string} type @param {string} id */
export const keyName = (type, id) => `${type}\n${id}`

/** Changes that become durable together, the newest value of each key; and those who wait for it. */
export class Batch {
  /** @type {Creds | undefined} */
  creds
  /** @type {Map<string, KeyChange>} */
  keys = new Map()
  /** @type {Map<string, Uint8Array>} */
  sentMessages = new Map()
  /** @type {Map<string, string>} */
  incoming = new Map()
  characters = 0
  /** @type {Waiter[]} in their order */
  waiters = []

  constructor() {
    /** @type {Promise<void>} */
    this.durable = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    this.durable.catch(() => {})
  }

  get isEmpty() {
    return !this.creds && this.keys.size === 0 && this.sentMessages.size === 0 && this.incoming.size === 0
  }

  get write() {
    return writeOf({ creds: this.creds, keys: this.keys.values(), sentMessages: [...this.sentMessages], incoming: [...this.incoming] })
  }

  /** @param {Change} change @returns {Promise<void>} when this change is durable */
  merge(change) {
    const durable = new Promise((resolve, reject) => this.take({ change, resolve: () => resolve(undefined), reject }))
    // Whoever cares awaits it; a staged ratchet step that nobody awaits must not end the process.
    durable.catch(() => {})
    return /** @type {Promise<void>} */ (durable)
  }

  /** @param {Waiter} waiter */
  take(waiter) {
    const { creds, keys = [], sentMessages = [], incoming = [] } = waiter.change
    if (creds) this.creds = creds
    for (const change of keys) this.keys.set(keyName(change[0], change[1]), change)
    for (const [id, message] of sentMessages) this.sentMessages.set(id, message)
    for (const [key, text] of incoming) this.incoming.set(key, text)
    this.characters += sizeOf(waiter.change)
    this.waiters.push(waiter)
  }

  /** Puts what failed before in front; what is here already is newer. @param {Batch} older */
  takeOlder(older) {
    this.creds ??= older.creds
    this.sentMessages = new Map([...older.sentMessages, ...this.sentMessages])
    this.incoming = new Map([...older.incoming, ...this.incoming])
    this.characters += older.characters
    this.waiters.unshift(...older.waiters)
  }

  /** One batch for each change; this one is settled with them. */
  split() {
    const parts = this.waiters.map(waiter => {
      const part = new Batch()
      part.take(waiter)
      return part
    })
    Promise.all(parts.map(part => part.durable)).then(() => this.resolve?.(), this.reject)
    return parts
  }

  succeed() {
    for (const waiter of this.waiters) waiter.resolve()
    this.resolve?.()
  }

  /** @param {Error} error @returns {boolean} whether everybody whom it concerns has heard of it */
  fail(error) {
    for (const waiter of this.waiters) waiter.reject(error)
    const isTold = isRefusal(error) && this.waiters.every(({ change }) => change.awaited)
    if (isTold) this.resolve?.()
    else this.reject?.(error)
    return isTold
  }
}

/**
 * @param {{creds?: Creds, keys?: Iterable<KeyChange>, sentMessages?: [string, Uint8Array][], incoming?: [string, string][]}} changes
 * @returns {Write}
 */
export function writeOf({ creds, keys = [], sentMessages = [], incoming = [] }) {
  /** @type {Write} */
  const write = {
    creds: creds?.text ?? null, account: creds?.account ?? null, set: [], delete: [], sent_messages: sentMessages, incoming_messages: incoming
  }
  for (const [type, id, text] of keys) {
    if (text === null) write.delete.push([type, id])
    else write.set.push([type, id, text])
  }
  return write
}

/**
 * @param {Write} write
 * @returns {Change}
 */
export function changeOf(write) {
  return {
    ...(write.creds !== null && write.account !== null ? { creds: { text: write.creds, account: write.account } } : {}),
    keys: [...write.set, ...write.delete.map(([type, id]) => /** @type {KeyChange} */ ([type, id, null]))],
    sentMessages: write.sent_messages,
    incoming: write.incoming_messages
  }
}

/**
 * Decided by code, because this room knows the store only through what it is given.
 * @param {any} error
 */
export function mustStop(error) {
  return error?.code === 'lease_lost' || error?.code === 'auth_state_corrupt'
}

/**
 * Any other 4xx: the same write would be refused again.
 * @param {any} error
 */
export function isRefusal(error) {
  return !mustStop(error) && error?.status >= 400 && error.status < 500
}

/** @param {Change} change */
export function sizeOf({ creds, keys = [], sentMessages = [], incoming = [] }) {
  let characters = creds?.text.length ?? 0
  for (const [type, id, text] of keys) characters += type.length + id.length + (text?.length ?? 0) + 16
  for (const [id, message] of sentMessages) characters += id.length + message.length + 16
  for (const [key, text] of incoming) characters += key.length + text.length + 16
  return characters
}
