import { digest } from './codec.js'

/**
 * The full backups of the contract (4.6). Every change was durable before anybody relied on it, so here a full backup
 * is a proof: digests of all that this process holds against what the store holds, and a repair of what differs. Due
 * some time after the connection opened, on changed creds but not too often, and regularly.
 *
 * @typedef {object} Timing
 * @property {number} initialDelayMs
 * @property {number} throttleMs
 * @property {number} intervalMs
 *
 * @typedef {object} Verified
 * @property {number} keys how many keys were compared
 * @property {{creds: boolean, keys: number}} repaired
 */

const KEYS_PER_CALL = 2000

export class VerificationBackup {
  #authState
  #verify
  #clock
  #timing
  #onVerified
  #onFailed
  /** @type {() => void} */
  #cancel = () => {}
  #due = Infinity
  #lastRun = -Infinity
  #stopped = true
  #running = false

  /**
   * @param {object} parts
   * @param {import('./auth-state.js').AuthState} parts.authState
   * @param {(digests: any) => Promise<{creds: boolean, keys: [string, string][]}>} parts.verify
   * @param {import('../clock.js').Clock} parts.clock
   * @param {Timing} parts.timing
   * @param {(result: Verified) => void} parts.onVerified
   * @param {(error: unknown) => void} parts.onFailed
   */
  constructor({ authState, verify, clock, timing, onVerified, onFailed }) {
    this.#authState = authState
    this.#verify = verify
    this.#clock = clock
    this.#timing = timing
    this.#onVerified = onVerified
    this.#onFailed = onFailed
  }

  /** The connection opened. */
  start() {
    this.#stopped = false
    this.#scheduleAt(this.#clock.uptime() + this.#timing.initialDelayMs)
  }

  credsUpdated() {
    if (this.#stopped || this.#lastRun === -Infinity) return
    this.#scheduleAt(this.#lastRun + this.#timing.throttleMs)
  }

  /** The connection closed. */
  stop() {
    this.#stopped = true
    this.#cancel()
    this.#due = Infinity
  }

  /** @param {number} time the earliest of several wins */
  #scheduleAt(time) {
    if (this.#running || time >= this.#due) return
    this.#cancel()
    this.#due = time
    this.#cancel = this.#clock.after(Math.max(0, time - this.#clock.uptime()), () => this.#run())
  }

  async #run() {
    this.#due = Infinity
    this.#running = true
    this.#lastRun = this.#clock.uptime()
    let nextMs = this.#timing.intervalMs
    try {
      const result = await this.#compareAndRepair()
      if (result) this.#onVerified(result)
      else nextMs = this.#timing.throttleMs
    } catch (error) {
      this.#onFailed(error)
    }
    this.#running = false
    if (!this.#stopped) this.#scheduleAt(this.#lastRun + nextMs)
  }

  /** @returns {Promise<Verified | null>} null when the store was too busy to compare anything */
  async #compareAndRepair() {
    await this.#authState.durable()
    const held = this.#authState.snapshot()
    if (!held) return null
    const repaired = { creds: false, keys: 0 }
    for (let start = 0; start === 0 || start < held.keys.length; start += KEYS_PER_CALL) {
      const keys = held.keys.slice(start, start + KEYS_PER_CALL)
      const different = await this.#verify({
        creds: held.credsDigest,
        keys: keys.map(([type, id, text]) => [type, id, text === null ? null : digest(text)])
      })
      if (start === 0) repaired.creds = await this.#repairCreds(different.creds, held.credsText)
      repaired.keys += await this.#repairKeys(keys, different.keys)
    }
    return { keys: held.keys.length, repaired }
  }

  /**
   * @param {boolean} different
   * @param {string} comparedText
   */
  async #repairCreds(different, comparedText) {
    // Creds that changed since are on their way or durable by now; the next run compares those.
    if (!different || this.#authState.snapshot()?.credsText !== comparedText) return false
    await this.#authState.repairCreds()
    return true
  }

  /**
   * @param {import('./batch.js').KeyChange[]} compared
   * @param {[type: string, id: string][]} different
   */
  async #repairKeys(compared, different) {
    const names = new Set(different.map(name => JSON.stringify(name)))
    const repairs = compared.filter(([type, id]) => names.has(JSON.stringify([type, id])))
    const done = await Promise.all(repairs.map(key => this.#authState.repairKey(key)))
    return done.filter(Boolean).length
  }
}
