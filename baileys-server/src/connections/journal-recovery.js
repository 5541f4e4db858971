import { sleep } from '../clock.js'
import { masked, safeError } from '../log.js'
import { Backlog } from '../auth-state/backlog.js'
import { Batch, changeOf, isRefusal } from '../auth-state/batch.js'

/**
 * @typedef {import('../auth-state/journal.js').Lease} Lease
 * @typedef {import('../auth-state/journal.js').JournalRecord} JournalRecord
 * @typedef {import('../orchestrator/session-backup.js').SessionBackup} SessionBackup
 *
 * @typedef {object} LeftBehind what the journal has of one lease
 * @property {Lease} lease of its records
 * @property {Lease} newest a lease that an earlier recovery of them, which didn't end, got
 * @property {Backlog} backlog
 * @property {number} records
 */

const ASK_AGAIN_MS = 1500
const LEASE_BUSY = 'lease_busy'

/**
 * Writes what the journal of an earlier process holds, before any session starts: each session's records merged, under
 * a lease that proves that nobody ran the session since. Without that proof they are older than what is stored, and are dropped.
 */
export class JournalRecovery {
  #journal
  #backupOf
  #clock
  #log
  #signal

  /**
   * @param {object} parts
   * @param {import('../auth-state/journal.js').Journal} parts.journal
   * @param {(lease: Lease) => SessionBackup} parts.backupOf
   * @param {import('../clock.js').Clock} parts.clock
   * @param {import('../log.js').Logger} parts.log
   * @param {AbortSignal} parts.signal the process stops; what isn't written stays in the journal
   */
  constructor({ journal, backupOf, clock, log, signal }) {
    this.#journal = journal
    this.#backupOf = backupOf
    this.#clock = clock
    this.#log = log
    this.#signal = signal
  }

  /** Returns when the journal is empty, however long that takes, or when the process stops. */
  async run() {
    const left = merged(this.#journal.left)
    this.#log.warn({ leases: left.length, records: this.#journal.left.length, bytes: this.#journal.bytes }, 'journal_found')
    await Promise.all(left.map(one => this.#recover(one)))
    if (this.#signal.aborted) return
    this.#journal.forgetLeft()
    this.#log.info({}, 'journal_drained')
  }

  /** @param {LeftBehind} left */
  async #recover({ lease, newest, backlog, records }) {
    if (backlog.isEmpty) return
    const log = this.#log.child({ session_ref: lease.sessionRef, epoch: lease.epoch, records })
    const epoch = await this.#askForEpoch(newest, log)
    if (this.#signal.aborted) return
    if (epoch === null) return log.error({}, 'journal_obsolete')
    this.#noteRecovery(lease, epoch, log)
    await this.#write(this.#backupOf({ ...lease, epoch }), backlog, log)
  }

  /**
   * @param {Lease} lease
   * @param {import('../log.js').Logger} log
   * @returns {Promise<number | null>}
   */
  async #askForEpoch(lease, log) {
    while (!this.#signal.aborted) {
      try {
        return await this.#backupOf(lease).recoverJournal()
      } catch (error) {
        const { code, final, message } = /** @type {import('../orchestrator/errors.js').OrchestratorError} */ (error)
        if (final && code !== LEASE_BUSY) {
          log.error({ error: masked(message), error_code: code }, 'journal_not_recoverable')
          return null
        }
        log.info({ error_code: code }, 'journal_recovery_waits')
        await sleep(this.#clock, ASK_AGAIN_MS, this.#signal)
      }
    }
    return null
  }

  /** For a next process, if this one ends before all is written. @param {Lease} lease @param {number} epoch @param {import('../log.js').Logger} log */
  #noteRecovery(lease, epoch, log) {
    try {
      this.#journal.noteRecovery(lease, epoch)
    } catch (error) {
      log.error(safeError(error), 'journal_recovery_not_noted')
    }
  }

  /**
   * @param {SessionBackup} backup
   * @param {Backlog} backlog
   * @param {import('../log.js').Logger} log
   */
  async #write(backup, backlog, log) {
    while (!backlog.isEmpty && !this.#signal.aborted) {
      try {
        await backup.write({ take: () => backlog.take(), attemptFailed: () => {} })
        backlog.committed()
      } catch (error) {
        if (!isRefusal(error)) return log.error(safeError(error), 'journal_obsolete')
        if (backlog.refused()) log.error(safeError(error), 'write_not_kept')
      }
    }
    log.info({}, 'journal_recovered')
  }
}

/**
 * @param {JournalRecord[]} records in their order
 * @returns {LeftBehind[]}
 */
function merged(records) {
  /** @type {Map<string, LeftBehind>} */
  const left = new Map()
  for (const { lease, write, recoveredAs } of records) {
    const name = `${lease.sessionRef} ${lease.generation} ${lease.epoch}`
    const one = left.get(name) ?? { lease, newest: lease, backlog: new Backlog(), records: 0 }
    left.set(name, one)
    one.records += 1
    if (recoveredAs !== null) one.newest = { ...lease, epoch: recoveredAs }
    else if (write) one.backlog.add(batchOf(write))
    else one.backlog.clearAllButCreds()
  }
  return [...left.values()]
}

/** @param {import('../auth-state/batch.js').Write} write */
function batchOf(write) {
  const batch = new Batch()
  batch.merge(changeOf(write))
  return batch
}
