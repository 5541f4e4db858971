import { Backlog } from './backlog.js'
import { Batch, isRefusal, keyName, mustStop, sizeOf, writeOf } from './batch.js'

/**
 * One session's way into the store, in order. At most one write is under way; everything that arrives meanwhile is
 * merged into the next, where the newest value of a key or of the creds wins. A caller's promise resolves only after
 * the store answered that its batch is committed, or, while the store is away, after the batch is in the journal.
 *
 * The store repeats a write by itself and tells of each attempt that failed. Two seconds after the first of them
 * everything goes to the journal and into the backlog, and the session is degraded until the store has the backlog.
 * While another replica might take the session over meanwhile, writes wait instead: it would go on from what the store
 * has, and use the same message numbers again.
 * Creds go to the journal before anything else and in every case, and from nowhere else: an older record of them can't follow a
 * newer one.
 *
 * Without a journal, or when it takes nothing, a write that failed `retries` times more has failed: its keys are
 * rejected and forgotten, and Baileys sees that. Creds and messages are not: nobody waits for them (Baileys emits creds
 * and goes on), so they stay dirty and are part of every later write until one succeeds. When the store refuses a write
 * of several changes (a 4xx: the same would be refused again), each is written by itself, so that one bad value costs
 * only its own caller; a refused message is dropped.
 *
 * @typedef {import('./batch.js').KeyChange} KeyChange
 * @typedef {import('./batch.js').Change} Change
 * @typedef {import('./batch.js').Write} Write
 * @typedef {import('./batch.js').Creds} Creds
 * @typedef {import('../clock.js').Clock} Clock
 *
 * @typedef {object} WriteRequest
 * @property {() => Write | null} take what is to be written, asked at each attempt; null: nothing any more
 * @property {(error: Error, downMs: number) => void} attemptFailed an attempt that will be repeated; `downMs` since the first
 *
 * @typedef {object} QueueParts
 * @property {(request: WriteRequest) => Promise<void>} write resolves when what was taken is committed; owns the repeating
 * @property {number} retries attempts after the first that a write is given when it can't be journaled
 * @property {import('./journal.js').JournalPart | null} journal
 * @property {Clock} clock
 * @property {(keys: KeyChange[]) => void} onCommitted these are durable; called before the callers hear of it
 * @property {(keys: KeyChange[]) => void} onFailed called before the callers hear of it; their fate is unknown
 * @property {(error: Error) => void} onClosed called once, when the store says that this writer must stop
 * @property {(degraded: boolean, reason: string | null) => void} onDegraded
 * @property {(error: Error) => void} onLost something that was promised to be durable was refused by the store, or the journal
 * @property {boolean} [held] collects until `release`: an identity that isn't paired writes nothing
 */

const MAX_BATCH_CHARACTERS = 8 * 1024 * 1024
const MAX_DIRTY_MESSAGES = 1000
const MAX_DIRTY_MESSAGE_CHARACTERS = 4 * 1024 * 1024
const DIRTY_RETRY_MS = 1000
const JOURNAL_AFTER_MS = 2000

export class WriteQueue {
  /** @type {Batch[]} */
  #waiting = []
  /** @type {Batch | null} on its way to the store */
  #underWay = null
  /** @type {Batch | null} on its way to the journal; never together with one on its way to the store */
  #journaling = null
  #backlog = new Backlog()
  /** What the store took last. @type {'batch' | 'backlog' | 'nothing'} */
  #taken = 'nothing'
  /** The store has been away for so long that changes go to the journal. */
  #outage = false
  #degraded = false
  #failures = 0
  /** Writes that failed although somebody may rely on them without having waited, and why the last one did. */
  #lost = 0
  /** @type {Error | null} */
  #lostBecause = null
  #running = false
  /** @type {Creds | null} the newest that the journal has */
  #journaledCreds = null
  /** The journal has creds and refused newer ones. */
  #journalIsBehind = false
  /** @type {Error | null} why nothing can be written any more */
  #closed = null
  #held
  /** @type {() => void} */
  #cancelRetry = () => {}
  /** @type {{resolve: () => void, reject: (error: Error) => void}[]} */
  #credsWaiters = []
  #parts
  #journal

  /** @param {QueueParts} parts */
  constructor(parts) {
    this.#parts = parts
    this.#held = parts.held ?? false
    this.#journal = parts.journal
    this.#journal?.attach(() => this.#undrained())
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
    if (change.creds && !this.#held) this.#journalCreds(change.creds)
    const durable = this.#batchFor(sizeOf(change)).merge(change)
    this.#start()
    return durable
  }

  /** Lets the held changes go. */
  release() {
    if (!this.#held) return
    this.#held = false
    const creds = this.#waiting.findLast(batch => batch.creds)?.creds
    if (creds) this.#journalCreds(creds)
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
    for (let n = this.#waiting.length - 1; n >= 0; n--) {
      const change = this.#waiting[n].keys.get(name)
      if (change) return change[2]
    }
    return (this.#journaling?.keys.get(name) ?? this.#underWay?.keys.get(name) ?? this.#backlog.key(name))?.[2]
  }

  get isQuiet() {
    return this.#open.length === 0 && this.#backlog.isEmpty
  }

  get credsAreDirty() {
    return this.#open.some(batch => batch.creds)
  }

  /** For `drained`: how many writes have failed until now. */
  get lost() {
    return this.#lost
  }

  /**
   * Resolves when everything that was enqueued until now is durable; rejects when any of it is not.
   * @param {number} [lostBefore] `lost` before the caller's first change: one may have failed before anybody waits for it
   */
  async drained(lostBefore = this.#lost) {
    if (this.#lost > lostBefore) throw this.#lostBecause
    const open = this.#open
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
   * Rejects everything that isn't durable; later changes are refused with the same error. What the journal has goes on
   * to the store, unless the store has said that this writer must stop.
   * @param {Error} error
   */
  close(error) {
    if (this.#closed) return
    this.#closed = error
    this.#cancelRetry()
    const open = this.#open
    if (this.#journal && !this.#held) this.#backlog.add(Object.assign(new Batch(), { creds: this.#dirtyCreds }))
    if (mustStop(error)) this.#backlog.clear()
    this.#waiting = []
    this.#underWay = null
    for (const batch of open) batch.fail(error)
    for (const waiter of this.#credsWaiters.splice(0)) waiter.reject(error)
    if (this.#backlog.isEmpty && !this.#journaling) this.#journal?.release()
    this.#run()
  }

  /** Batches whose callers wait, oldest first. */
  get #open() {
    return [this.#underWay, this.#journaling, ...this.#waiting].filter(batch => batch !== null)
  }

  /** The newest that the store lacks. */
  get #dirtyCreds() {
    return this.#open.findLast(batch => batch.creds)?.creds
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
    if (this.#held) return
    this.#cancelRetry()
    if (this.#outage) setImmediate(() => this.#journalWaiting())
    this.#run()
  }

  get #hasWork() {
    return !this.#backlog.isEmpty || (!this.#closed && !this.#journaling && Boolean(this.#underWay ?? this.#waiting[0]))
  }

  async #run() {
    if (this.#running) return
    this.#running = true
    while (this.#hasWork) {
      try {
        await this.#parts.write({ take: this.#take, attemptFailed: this.#attemptFailed })
        if (this.#taken !== 'nothing') this.#committed()
      } catch (error) {
        if (mustStop(error)) return this.#stop(/** @type {Error} */ (error))
        this.#refused(/** @type {Error} */ (error))
        if (this.#onlyDirtyLeft()) break
      }
      if (this.#isSettled) await this.#settle()
    }
    this.#running = false
  }

  /** @returns {Write | null} */
  #take = () => {
    this.#taken = 'backlog'
    if (!this.#backlog.isEmpty) return this.#backlog.take()
    if (!this.#journaling) this.#underWay ??= this.#waiting.shift() ?? null
    this.#taken = this.#underWay ? 'batch' : 'nothing'
    return this.#underWay && this.#underWay.write
  }

  #committed() {
    this.#outage = false
    this.#failures = 0
    if (this.#taken === 'backlog') return this.#backlog.committed()
    const batch = this.#underWay
    this.#underWay = null
    if (!batch) return
    this.#parts.onCommitted([...batch.keys.values()])
    batch.succeed()
  }

  /** Nothing is promised that the store doesn't have, but for creds that are on their way. */
  get #isSettled() {
    return this.#taken !== 'nothing' && !this.#outage && this.#backlog.isEmpty && !this.#journaling
  }

  async #settle() {
    if (!this.credsAreDirty) for (const waiter of this.#credsWaiters.splice(0)) waiter.resolve()
    try {
      // Before newer values go past the journal: after a crash its older ones would replace them.
      if (this.#journal?.isUndrained) await this.#journal.settle(this.credsAreDirty)
      if (this.#journalIsBehind && !this.credsAreDirty) throw new Error('The journal has older creds than the store.')
    } catch (error) {
      // Under a new epoch the journal is worthless, as it should be: the store has everything.
      if (!this.#closed) return this.#stop(/** @type {Error} */ (error))
    }
    this.#setDegraded(false, null)
    if (this.#closed) this.#journal?.release()
  }

  #attemptFailed = (/** @type {Error} */ error, /** @type {number} */ downMs) => {
    if (this.#closed) return
    if (!this.#journal) {
      this.#setDegraded(true, error.message)
      this.#countFailure(error)
    } else if (downMs < JOURNAL_AFTER_MS && this.#backlog.isEmpty) {
      return // a moment without an answer is no outage
    } else if (!this.#outage && this.#backlog.isEmpty && this.#journal.isHeld) {
      this.#setDegraded(true, error.message)
    } else {
      this.#outage = true
      this.#setDegraded(true, error.message)
      if (this.#underWay) this.#waiting.unshift(this.#underWay)
      this.#underWay = null
      this.#journalWaiting()
    }
  }

  /** @param {Error} error */
  #countFailure(error) {
    this.#underWay ??= this.#waiting.shift() ?? null
    if (!this.#underWay || this.#failures++ < this.#parts.retries) return
    const batch = this.#underWay
    this.#underWay = null
    this.#failures = 0
    this.#giveUp(batch, error)
  }

  /** Into the journal, batch after batch; their callers are done then. */
  async #journalWaiting() {
    if (this.#journaling || this.#underWay) return
    while (this.#outage && !this.#closed && this.#waiting.length > 0) {
      const batch = /** @type {Batch} */ (this.#waiting.shift())
      this.#journaling = batch
      try {
        await this.#journalBatch(batch)
      } catch (error) {
        this.#journaling = null
        if (!this.#closed) this.#giveUp(batch, /** @type {Error} */ (error))
        break
      }
      this.#journaling = null
      this.#backlog.add(batch)
      this.#parts.onCommitted([...batch.keys.values()])
      batch.succeed()
      if (!this.credsAreDirty) for (const waiter of this.#credsWaiters.splice(0)) waiter.resolve()
    }
    this.#run()
  }

  /** @param {Batch} batch */
  async #journalBatch(batch) {
    if (batch.creds) {
      const newest = this.#waiting.findLast(({ creds }) => creds)?.creds ?? batch.creds
      if (newest !== this.#journaledCreds) this.#journalCreds(newest)
      if (newest !== this.#journaledCreds) throw new Error('The journal does not take the creds.')
    }
    if (batch.keys.size + batch.sentMessages.size + batch.incoming.size > 0) await this.#journal?.append(withoutCreds(batch.write))
    else await this.#journal?.sync()
  }

  /** @param {Creds} creds */
  #journalCreds(creds) {
    if (!this.#journal) return
    try {
      // A killed process leaves it to the next even unsynced, and while the store is there it has the creds at once.
      this.#journal.appendSync(writeOf({ creds }), { synced: this.#outage })
      this.#journaledCreds = creds
      this.#journalIsBehind = false
    } catch (error) {
      this.#journalIsBehind = this.#journaledCreds !== null
      this.#parts.onLost(/** @type {Error} */ (error))
    }
  }

  /** For a journal that is written anew. @returns {Generator<Write>} */
  *#undrained() {
    yield* this.#backlog.parts()
    // Its append may have ended already, with nobody told yet.
    if (this.#journaling) yield withoutCreds(this.#journaling.write)
    const creds = this.#dirtyCreds
    if (creds) yield writeOf({ creds })
  }

  /** @param {Error} error the store's last word about what it took */
  #refused(error) {
    this.#outage = false
    const batch = this.#underWay
    this.#underWay = null
    if (this.#taken === 'backlog') {
      if (this.#backlog.refused()) this.#parts.onLost(error)
    } else if (batch && isRefusal(error) && batch.waiters.length > 1) {
      this.#waiting.unshift(...batch.split())
    } else if (batch) {
      this.#giveUp(batch, error)
    }
  }

  /** @param {Error} error */
  #stop(error) {
    if (!this.#backlog.isEmpty) this.#parts.onLost(error)
    this.#backlog.clear()
    if (this.#closed) return this.#journal?.release()
    this.close(error)
    this.#parts.onClosed(error)
  }

  /**
   * @param {Batch} batch
   * @param {Error} error
   */
  #giveUp(batch, error) {
    this.#parts.onFailed([...batch.keys.values()])
    this.#keepDirty(batch, isRefusal(error))
    if (batch.fail(error)) return
    this.#lost += 1
    this.#lostBecause = error
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

  /** Nobody waits for what is left of a refused write, so it is tried again a little later, or with the next change. */
  #onlyDirtyLeft() {
    const [next, ...others] = this.#waiting
    if (this.#closed || !next || others.length > 0 || next.keys.size > 0) return false
    this.#cancelRetry = this.#parts.clock.after(DIRTY_RETRY_MS, () => this.#start())
    return true
  }

  /**
   * @param {boolean} degraded
   * @param {string | null} reason
   */
  #setDegraded(degraded, reason) {
    if (this.#degraded === degraded) return
    this.#degraded = degraded
    this.#parts.onDegraded(degraded, reason)
  }
}

/** @param {Write} write @returns {Write} creds have records of their own */
const withoutCreds = write => ({ ...write, creds: null, account: null })

/**
 * @template {string | Uint8Array} T
 * @param {[id: string, message: T][]} messages oldest first
 */
function newestOf(messages) {
  let characters = 0
  const tooMany = messages.slice(-MAX_DIRTY_MESSAGES).toReversed().findIndex(([id, message]) => {
    characters += id.length + message.length + 16
    return characters > MAX_DIRTY_MESSAGE_CHARACTERS
  })
  return messages.slice(tooMany === -1 ? -MAX_DIRTY_MESSAGES : messages.length - tooMany)
}
