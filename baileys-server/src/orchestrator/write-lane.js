import { encodeFrame, decodeOutcomes, sizeOfWrite } from './write-frame.js'
import { safeError } from '../log.js'

/**
 * What all sessions of a lane write while one frame is under way goes into the next frame, so that one commit serves
 * many of them. No timer: an idle lane sends after the current turn of the event loop.
 *
 * A lane that gets no answer, or only "unavailable", is down. It then tries again after 2, 4, 6, 6 ... s, and one attempt
 * carries what all sessions have: however many wait, the orchestrator is asked once.
 *
 * @typedef {import('./write-frame.js').Lease} Lease
 * @typedef {import('./session-backup.js').AuthStateWrite} AuthStateWrite
 * @typedef {import('./errors.js').OrchestratorError} OrchestratorError
 *
 * @typedef {object} WriteRequest one session's wish to write; a session has one at a time
 * @property {() => AuthStateWrite | null} take asked at each attempt what is to be written then; null: nothing any more
 * @property {(error: OrchestratorError, downMs: number) => void} attemptFailed it is tried again by itself; `downMs` is the
 *   time since the first of its attempts, or of the lane's, that failed in a row
 *
 * @typedef {{entry: Entry, lease: Lease, write: AuthStateWrite}} Taken
 */

const MAX_FRAME_BYTES = 8 * 1024 * 1024
const MAX_FRAME_WRITES = 10_000
const RETRY_STEP_MS = 2000
const MAX_RETRY_STEPS = 3

export class WriteLane {
  /** @type {Entry[]} */
  #waiting = []
  /** @type {{since: number, failures: number, error: OrchestratorError} | null} */
  #outage = null
  #paused = false
  #busy = false
  #closed = false
  #socket
  #clock
  #log

  /**
   * @param {object} parts
   * @param {import('./write-socket.js').WriteSocket} parts.socket
   * @param {import('../clock.js').Clock} parts.clock
   * @param {import('../log.js').Logger} parts.log
   */
  constructor({ socket, clock, log }) {
    this.#socket = socket
    this.#clock = clock
    this.#log = log
  }

  /**
   * @param {Lease} lease
   * @param {WriteRequest} request
   * @returns {Promise<void>} resolves when PostgreSQL committed what was taken, or nothing was; rejects when it is refused
   */
  write(lease, request) {
    const entry = new Entry(lease, request)
    this.#waiting.push(entry)
    if (this.#outage) setImmediate(() => this.#tellOfOutage(entry))
    this.#sendSoon()
    return entry.settled
  }

  close() {
    this.#closed = true
    this.#socket.close()
  }

  #sendSoon() {
    if (this.#busy || this.#paused || this.#closed || this.#waiting.length === 0) return
    this.#busy = true
    // After the microtasks: what belongs together, in one session and among sessions, becomes one frame.
    setImmediate(() => this.#send())
  }

  async #send() {
    const taken = this.#takeFrame()
    if (taken.length > 0) await this.#deliver(taken)
    this.#busy = false
    this.#sendSoon()
  }

  /** @returns {Taken[]} */
  #takeFrame() {
    const taken = []
    for (let bytes = 0; this.#waiting.length > 0 && bytes < MAX_FRAME_BYTES && taken.length < MAX_FRAME_WRITES;) {
      const entry = /** @type {Entry} */ (this.#waiting.shift())
      const write = entry.request.take()
      if (!write) {
        entry.resolve()
        continue
      }
      bytes += sizeOfWrite(write)
      taken.push({ entry, lease: entry.lease, write })
    }
    return taken
  }

  /** @param {Taken[]} taken */
  async #deliver(taken) {
    const startedAt = this.#clock.uptime()
    let outcomes
    try {
      const answer = await this.#socket.exchange(encodeFrame(taken))
      outcomes = decodeOutcomes(answer, taken.length)
    } catch (error) {
      const failure = /** @type {OrchestratorError} */ (error)
      if (failure.final && taken.length > 1) return await this.#deliverEachAlone(taken)
      outcomes = taken.map(() => failure)
    }
    const unavailable = outcomes.find(error => error && !error.final)
    if (unavailable && outcomes.every(error => error && !error.final)) return this.#goDown(taken, unavailable, startedAt)
    this.#comeUp()
    for (const [n, { entry }] of taken.entries()) this.#settle(entry, outcomes[n], startedAt)
  }

  /** A frame is refused as a whole; alone, only the bad write is. @param {Taken[]} taken */
  async #deliverEachAlone(taken) {
    for (const [n, one] of taken.entries()) {
      await this.#deliver([one])
      if (this.#outage) return this.#putBack(taken.slice(n + 1))
    }
  }

  /** They go with the next attempt. @param {Taken[]} taken */
  #putBack(taken) {
    for (const { entry } of taken) {
      this.#waiting.push(entry)
      this.#tellOfOutage(entry)
    }
  }

  /** @param {Entry} entry @param {OrchestratorError | null} error @param {number} startedAt */
  #settle(entry, error, startedAt) {
    if (!error) return entry.resolve()
    if (error.final) return entry.reject(error)
    // The lane works for the others, so this one waits by itself.
    entry.failingSince ??= startedAt
    entry.failures += 1
    this.#clock.after(retryDelayMs(entry.failures), () => {
      this.#waiting.push(entry)
      this.#sendSoon()
    })
    entry.request.attemptFailed(error, this.#clock.uptime() - entry.failingSince)
  }

  /** @param {Taken[]} taken @param {OrchestratorError} error @param {number} startedAt */
  #goDown(taken, error, startedAt) {
    if (!this.#outage) this.#log.warn(safeError(error), 'write_lane_down')
    this.#outage = { since: this.#outage?.since ?? startedAt, failures: (this.#outage?.failures ?? 0) + 1, error }
    this.#waiting.unshift(...taken.map(({ entry }) => entry))
    this.#paused = true
    this.#clock.after(retryDelayMs(this.#outage.failures), () => {
      this.#paused = false
      this.#sendSoon()
    })
    for (const entry of [...this.#waiting]) this.#tellOfOutage(entry)
  }

  #comeUp() {
    if (!this.#outage) return
    this.#log.info({ down_ms: this.#clock.uptime() - this.#outage.since }, 'write_lane_up')
    this.#outage = null
  }

  /** @param {Entry} entry unless it is under way in an attempt that may end the outage */
  #tellOfOutage(entry) {
    if (this.#outage && this.#waiting.includes(entry)) entry.request.attemptFailed(this.#outage.error, this.#clock.uptime() - this.#outage.since)
  }
}

/** A request in the lane. */
class Entry {
  failures = 0
  /** @type {number | null} */
  failingSince = null
  /** @type {() => void} */
  resolve = () => {}
  /** @type {(error: Error) => void} */
  reject = () => {}

  /** @param {Lease} lease @param {WriteRequest} request */
  constructor(lease, request) {
    this.lease = lease
    this.request = request
    /** @type {Promise<void>} */
    this.settled = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
  }
}

/** @param {number} failures in a row */
function retryDelayMs(failures) {
  return RETRY_STEP_MS * Math.min(failures, MAX_RETRY_STEPS)
}
