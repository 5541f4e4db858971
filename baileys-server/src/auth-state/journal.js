import { JournalFile } from './journal-file.js'
import { JournalSeal } from './journal-seal.js'
import { safeError } from '../log.js'

/**
 * What is durable in this process only: the changes of all sessions that the store hasn't committed yet, in one
 * append-only file. See "Who retries, and the journal" in docs/internal-api.md.
 *
 * @typedef {{sessionRef: number, generation: number, epoch: number}} Lease
 * @typedef {import('./batch.js').Write} Write
 *
 * @typedef {object} Format of a record
 * @property {(lease: Lease, write: Write | null) => Uint8Array} encode null: what earlier records of this session hold,
 *   other than creds, is committed
 * @property {(lease: Lease, epoch: number) => Uint8Array} encodeRecovery the earlier records of this lease are being
 *   written under a newer epoch
 * @property {(record: Uint8Array) => JournalRecord | null} decode null: it is none that this version writes
 *
 * @typedef {{lease: Lease, write: Write | null, recoveredAs: number | null}} JournalRecord
 */

const COMPACTION_PAUSE_MS = 10_000
const CLEARING_PAUSE_MS = 500

export class Journal {
  /**
   * Set while another replica might take sessions over: it doesn't see what is only in this file, so nobody begins to
   * write keys to it. Creds are written nevertheless, which nobody waits for.
   */
  isHeld = false
  /** @type {Set<JournalPart>} the sessions that have something in the journal which the store doesn't have */
  #undrained = new Set()
  #isFilling = false
  #compactedAt = -Infinity
  /** @type {(() => void) | null} */
  #cancelClearing = null
  #file
  #seal
  #format
  #limit
  #clock
  #log

  /**
   * @param {object} options
   * @param {string} options.folder made when it is missing
   * @param {number} options.limit bytes
   * @param {readonly Buffer[]} options.keys
   * @param {Format} options.format
   * @param {import('../clock.js').Clock} options.clock
   * @param {import('../log.js').Logger} options.log
   */
  constructor({ folder, limit, keys, format, clock, log }) {
    this.#file = new JournalFile({ folder, limit, makeRoom: () => this.#compact(), log })
    this.#seal = new JournalSeal(keys)
    this.#format = format
    this.#limit = limit
    this.#clock = clock
    this.#log = log
    /** What an earlier process left. It stays in the file until `forgetLeft`. @type {JournalRecord[]} */
    this.left = this.#file.read(sealed => this.#opened(sealed))
  }

  get bytes() {
    return this.#file.size
  }

  get limit() {
    return this.#limit
  }

  /** Sessions whose newest changes the store doesn't have, whether they run or not. @returns {number[]} */
  get undrainedSessions() {
    return [...new Set([...this.#undrained].map(part => part.lease.sessionRef))]
  }

  /** @param {Lease} lease @param {(filling: {bytes: number, limit: number}) => void} onFilling half of the limit is used */
  part(lease, onFilling) {
    return new JournalPart(this, lease, onFilling)
  }

  /** @param {JournalPart} part @param {Write | null} write */
  async append(part, write) {
    // Stays so when it fails: it may be in the file nevertheless, and creds that were taken meanwhile are.
    this.#undrained.add(part)
    await this.#file.append(this.#recordOf(part.lease, write))
    this.#watchSize()
  }

  /** @returns {Promise<void>} when everything that was appended before is on the disk */
  sync() {
    return this.#file.sync()
  }

  /** @param {JournalPart} part @param {Write} write @param {{synced: boolean}} options */
  appendSync(part, write, options) {
    this.#file.appendSync(this.#recordOf(part.lease, write), options)
    this.#undrained.add(part)
    this.#watchSize()
  }

  /** Notes under which epoch the records of an earlier process are being written. @param {Lease} lease @param {number} epoch */
  noteRecovery(lease, epoch) {
    this.#file.appendSync(this.#seal.seal(this.#format.encodeRecovery(lease, epoch)), { synced: true })
  }

  /** What an earlier process left is in the store, or worthless. */
  forgetLeft() {
    this.left = []
    this.#file.clear({ durably: true })
  }

  /** @param {JournalPart} part */
  isUndrained(part) {
    return this.#undrained.has(part)
  }

  /**
   * The store has what the part wrote. Rejects when that can't be written down: after a crash, what the file has of this
   * lease would replace newer values.
   * @param {JournalPart} part
   * @param {{credsAreDirty: boolean, hasKeys: boolean}} what of it is in the file, and not in the store
   */
  async settle(part, { credsAreDirty, hasKeys }) {
    if (!credsAreDirty) this.#undrained.delete(part)
    if (!hasKeys) return this.#clearSoon()
    if (this.#clearWhenDrained({ durably: true })) return
    // A few bytes, at a time when the file will soon be empty.
    await this.#file.append(this.#recordOf(part.lease, null), { evenWhenFull: true })
    this.#clearWhenDrained({ durably: false })
  }

  /** @param {JournalPart} part */
  release(part) {
    if (this.#undrained.delete(part)) this.#clearWhenDrained({ durably: true })
  }

  /** Leaves an empty file if the store has everything. */
  close() {
    this.#cancelClearing?.()
    this.#clearWhenDrained({ durably: false })
    this.#file.close()
  }

  /** @param {Buffer} sealed @returns {JournalRecord | null} null: sealed with another key, or of a later version */
  #opened(sealed) {
    const record = this.#seal.open(sealed)
    return record && this.#format.decode(record)
  }

  /** @param {Lease} lease @param {Write | null} write */
  #recordOf(lease, write) {
    return this.#seal.seal(this.#format.encode(lease, write))
  }

  /** Not with every change of creds: their records may be read again, because the newest is always the last. */
  #clearSoon() {
    this.#cancelClearing ??= this.#clock.after(CLEARING_PAUSE_MS, () => {
      this.#cancelClearing = null
      this.#clearWhenDrained({ durably: false })
    })
  }

  /** @param {{durably: boolean}} options */
  #clearWhenDrained(options) {
    if (this.#undrained.size > 0 || this.left.length > 0 || !this.#file.clear(options)) return false
    this.#isFilling = false
    return true
  }

  #watchSize() {
    const filling = { bytes: this.bytes, limit: this.#limit }
    const isFilling = filling.bytes >= this.#limit / 2
    if (isFilling && !this.#isFilling) {
      this.#log.error({ ...filling, sessions: this.#undrained.size }, 'journal_filling')
      for (const part of this.#undrained) part.onFilling(filling)
    }
    this.#isFilling = isFilling
  }

  /** Writes the file anew with the newest value of each key, when that makes room enough. */
  #compact() {
    const now = this.#clock.uptime()
    if (this.left.length > 0 || now - this.#compactedAt < COMPACTION_PAUSE_MS) return
    this.#compactedAt = now
    const before = this.bytes
    try {
      this.#file.replace(this.#undrainedRecords(), (this.#limit * 3) / 4)
    } catch (error) {
      this.#log.error(safeError(error), 'journal_not_compacted')
    }
    this.#log.warn({ before, bytes: this.bytes }, 'journal_compacted')
  }

  *#undrainedRecords() {
    for (const part of this.#undrained) {
      for (const write of part.undrained()) yield this.#recordOf(part.lease, write)
    }
  }
}

/** One session's part of the journal. */
export class JournalPart {
  /** Whether the file has more of it than creds that the store lacks. */
  #hasKeys = false
  #journal

  /**
   * @param {Journal} journal
   * @param {Lease} lease
   * @param {(filling: {bytes: number, limit: number}) => void} onFilling
   */
  constructor(journal, lease, onFilling) {
    this.#journal = journal
    this.lease = lease
    this.onFilling = onFilling
    /** @type {() => Iterable<Write>} what the journal holds of it and the store doesn't */
    this.undrained = () => []
  }

  get isHeld() {
    return this.#journal.isHeld
  }

  get isUndrained() {
    return this.#hasKeys || this.#journal.isUndrained(this)
  }

  /** @param {() => Iterable<Write>} undrained */
  attach(undrained) {
    this.undrained = undrained
  }

  /** @param {Write} write @returns {Promise<void>} when it is on the disk; rejects when the journal is full or the disk fails */
  async append(write) {
    this.#hasKeys = true
    await this.#journal.append(this, write)
  }

  /**
   * Returns when it outlives this process, and with `synced` also the machine.
   * @param {Write} write
   * @param {{synced: boolean}} options
   */
  appendSync(write, options) {
    this.#journal.appendSync(this, write, options)
  }

  /** @returns {Promise<void>} when everything that was appended before is on the disk */
  sync() {
    return this.#journal.sync()
  }

  /** The store has everything, but for creds when they are dirty. Resolves when that can't be undone by a crash; rejects when it can. */
  async settle(/** @type {boolean} */ credsAreDirty) {
    const hasKeys = this.#hasKeys
    this.#hasKeys = false
    await this.#journal.settle(this, { credsAreDirty, hasKeys })
  }

  /** The session ends: what the journal still has of it is of no use. */
  release() {
    this.#journal.release(this)
  }
}
