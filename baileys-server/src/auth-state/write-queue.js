/**
 * One session's way into the store, in order. At most one write is under way; everything that arrives meanwhile is
 * merged into the next, where the newest value of a key or of the creds wins. A caller's promise resolves only after
 * the store answered that its batch is committed.
 *
 * When a write finally fails its keys are rejected and forgotten: Baileys sees the failure. Creds and messages are
 * not: nobody waits for them (Baileys emits creds and goes on), so they stay dirty and are part of every later write
 * until one succeeds. When the store refuses a write of several changes (a 4xx: the same would be refused again), each is
 * written by itself, so that one bad value costs only its own caller; a refused message is dropped.
 *
 * @typedef {[type: string, id: string, text: string | null]} KeyChange null deletes
 * @typedef {{jid: string, lid: string | null}} Account
 *
 * @typedef {object} Change
 * @property {{text: string, account: Account}} [creds]
 * @property {KeyChange[]} [keys]
 * @property {[messageId: string, base64: string][]} [sentMessages]
 * @property {[messageKey: string, text: string][]} [incoming] messages received, as docs/internal-api.md says
 * @property {boolean} [awaited] the caller looks at the promise, so `drained` need not tell that it was refused
 *
 * @typedef {{change: Change, resolve: () => void, reject: (error: Error) => void}} Waiter
 *
 * @typedef {import('../clock.js').Clock} Clock
 */

const MAX_BATCH_CHARACTERS = 12 * 1024 * 1024
const MAX_DIRTY_MESSAGES = 1000
const MAX_DIRTY_MESSAGE_CHARACTERS = 4 * 1024 * 1024
const DIRTY_RETRY_MS = 1000

/** @param {string} type @param {string} id */
export const keyName = (type, id) => `${type}\n${id}`

class Batch {
  /** @type {{text: string, account: Account} | undefined} */
  creds
  /** @type {Map<string, KeyChange>} */
  keys = new Map()
  /** @type {Map<string, string>} */
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
    for (const [id, base64] of sentMessages) this.sentMessages.set(id, base64)
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

  /** @param {Error} error */
  fail(error) {
    for (const waiter of this.waiters) waiter.reject(error)
    if (isRefusal(error) && this.waiters.every(({ change }) => change.awaited)) this.resolve?.()
    else this.reject?.(error)
  }
}

export class WriteQueue {
  /** @type {Batch[]} */
  #waiting = []
  /** @type {Batch | null} */
  #underWay = null
  /** @type {Error | null} why nothing can be written any more */
  #closed = null
  #running = false
  #held
  /** @type {() => void} */
  #cancelRetry = () => {}
  /** @type {{resolve: () => void, reject: (error: Error) => void}[]} */
  #credsWaiters = []
  #write
  #clock
  #onCommitted
  #onFailed
  #onClosed

  /**
   * @param {object} parts
   * @param {(batch: {creds: string | null, account: Account | null, keys: KeyChange[],
   *   sentMessages: [string, string][], incoming: [string, string][]}) => Promise<void>} parts.write resolves when committed; owns the retries
   * @param {Clock} parts.clock
   * @param {(keys: KeyChange[]) => void} parts.onCommitted called before the callers hear of it
   * @param {(keys: KeyChange[]) => void} parts.onFailed called before the callers hear of it; their fate is unknown
   * @param {(error: Error) => void} parts.onClosed called once, when the store says that this writer must stop
   * @param {boolean} [parts.held] collects until `release`: an identity that isn't paired writes nothing
   */
  constructor({ write, clock, onCommitted, onFailed, onClosed, held = false }) {
    this.#write = write
    this.#clock = clock
    this.#onCommitted = onCommitted
    this.#onFailed = onFailed
    this.#onClosed = onClosed
    this.#held = held
  }

  /**
   * @param {Change} change
   * @returns {Promise<void>} resolves when durable
   */
  enqueue(change) {
    if (this.#closed) {
      const refused = Promise.reject(this.#closed)
      refused.catch(() => {})
      return refused
    }
    const batch = this.#batchFor(sizeOf(change))
    const durable = batch.merge(change)
    this.#start()
    return durable
  }

  /** Lets the held changes go. */
  release() {
    this.#held = false
    this.#start()
  }

  /**
   * The newest value that is on its way: text, null for a deletion, undefined when nothing is on its way.
   * @param {string} type
   * @param {string} id
   * @returns {string | null | undefined}
   */
  pendingValue(type, id) {
    const name = keyName(type, id)
    const inOrder = this.#underWay ? [this.#underWay, ...this.#waiting] : this.#waiting
    return inOrder.findLast(batch => batch.keys.has(name))?.keys.get(name)?.[2]
  }

  get isQuiet() {
    return !this.#underWay && this.#waiting.length === 0
  }

  get credsAreDirty() {
    return Boolean(this.#underWay?.creds) || this.#waiting.some(batch => batch.creds)
  }

  /** Resolves when everything that was enqueued until now is durable; rejects when any of it is not. */
  async drained() {
    const open = [this.#underWay, ...this.#waiting].filter(batch => batch !== null)
    if (open.length > 0) await Promise.all(open.map(batch => batch.durable))
    else if (this.#closed) throw this.#closed
  }

  /** Resolves when the newest creds are durable, however long it takes; rejects when the queue is closed. */
  async credsDurable() {
    if (this.#closed) throw this.#closed
    if (!this.credsAreDirty) return
    await new Promise((resolve, reject) => this.#credsWaiters.push({ resolve: () => resolve(undefined), reject }))
  }

  /**
   * Rejects everything that isn't durable; later changes are refused with the same error.
   * @param {Error} error
   */
  close(error) {
    if (this.#closed) return
    this.#closed = error
    this.#cancelRetry()
    for (const batch of this.#waiting.splice(0)) batch.fail(error)
    this.#underWay?.fail(error)
    for (const waiter of this.#credsWaiters.splice(0)) waiter.reject(error)
  }

  /** @param {number} characters */
  #batchFor(characters) {
    const last = this.#waiting.at(-1)
    if (last && last.characters + characters <= MAX_BATCH_CHARACTERS) return last
    const batch = new Batch()
    this.#waiting.push(batch)
    return batch
  }

  #start() {
    if (this.#running || this.#held || this.#closed) return
    this.#running = true
    this.#cancelRetry()
    // After the microtasks: creds that change together with keys, and the ratchets of one send, become one write.
    setImmediate(() => this.#run())
  }

  async #run() {
    while (this.#waiting.length > 0 && !this.#closed) {
      const batch = /** @type {Batch} */ (this.#waiting.shift())
      this.#underWay = batch
      try {
        await this.#write(contentOf(batch))
        if (!this.#closed) this.#committed(batch)
      } catch (error) {
        if (!this.#closed) this.#failed(batch, /** @type {Error} */ (error))
        if (this.#onlyDirtyLeft(batch)) break
      }
    }
    this.#running = false
  }

  /** @param {Batch} batch */
  #committed(batch) {
    this.#underWay = null
    this.#onCommitted([...batch.keys.values()])
    batch.succeed()
    if (!this.credsAreDirty) for (const waiter of this.#credsWaiters.splice(0)) waiter.resolve()
  }

  /**
   * @param {Batch} batch
   * @param {Error} error
   */
  #failed(batch, error) {
    this.#underWay = null
    if (mustStop(error)) {
      batch.fail(error)
      this.close(error)
      this.#onClosed(error)
      return
    }
    if (isRefusal(error) && batch.waiters.length > 1) {
      this.#waiting.unshift(...batch.split())
      return
    }
    this.#onFailed([...batch.keys.values()])
    this.#keepDirty(batch, isRefusal(error))
    batch.fail(error)
  }

  /**
   * @param {Batch} failed
   * @param {boolean} refused
   */
  #keepDirty(failed, refused) {
    const dirty = new Batch()
    if (failed.creds && !this.#waiting.some(batch => batch.creds)) dirty.merge({ creds: failed.creds })
    const sentMessages = refused ? [] : newestOf([...failed.sentMessages])
    if (sentMessages.length > 0) dirty.merge({ sentMessages })
    const incoming = refused ? [] : newestOf([...failed.incoming])
    if (incoming.length > 0) dirty.merge({ incoming })
    if (dirty.isEmpty) return
    const next = this.#waiting[0]
    // What was refused goes to the end: the others must not be refused with it.
    if (!next || refused) this.#waiting.push(dirty)
    else next.takeOlder(dirty)
  }

  /**
   * Nobody waits for what is left, so it is tried again a little later, or with the next change.
   * @param {Batch} failed
   */
  #onlyDirtyLeft(failed) {
    const [next, ...others] = this.#waiting
    if (this.#closed || !next || others.length > 0 || next.keys.size > 0 || next === failed) return false
    this.#cancelRetry = this.#clock.after(DIRTY_RETRY_MS, () => this.#start())
    return true
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
function isRefusal(error) {
  return !mustStop(error) && error?.status >= 400 && error.status < 500
}

/** @param {[id: string, text: string][]} messages oldest first */
function newestOf(messages) {
  let characters = 0
  const tooMany = messages.slice(-MAX_DIRTY_MESSAGES).toReversed().findIndex(message => {
    characters += sizeOf({ sentMessages: [message] })
    return characters > MAX_DIRTY_MESSAGE_CHARACTERS
  })
  return messages.slice(tooMany === -1 ? -MAX_DIRTY_MESSAGES : messages.length - tooMany)
}

/** @param {Batch} batch */
function contentOf(batch) {
  return {
    creds: batch.creds?.text ?? null,
    account: batch.creds?.account ?? null,
    keys: [...batch.keys.values()],
    sentMessages: /** @type {[string, string][]} */ ([...batch.sentMessages]),
    incoming: /** @type {[string, string][]} */ ([...batch.incoming])
  }
}

/** @param {Change} change */
function sizeOf({ creds, keys = [], sentMessages = [], incoming = [] }) {
  let characters = creds?.text.length ?? 0
  for (const [type, id, text] of keys) characters += type.length + id.length + (text?.length ?? 0) + 16
  for (const [id, base64] of sentMessages) characters += id.length + base64.length + 16
  for (const [key, text] of incoming) characters += key.length + text.length + 16
  return characters
}
