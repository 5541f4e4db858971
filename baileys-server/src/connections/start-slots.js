/**
 * How many sockets may be in handshake and login at once: a restart of a replica with hundreds of sessions must not
 * starve those that are open already.
 */
export class StartSlots {
  #free
  /** @type {(() => void)[]} */
  #waiting = []

  /** @param {number} count */
  constructor(count) {
    this.#free = count
  }

  /**
   * @param {AbortSignal} signal ends the waiting: the caller looks at it before it uses the slot
   * @returns {Promise<() => void>} the release, which may be called more than once
   */
  async take(signal) {
    let held = true
    if (this.#free > 0) this.#free -= 1
    else held = await this.#wait(signal)
    return () => {
      if (!held) return
      held = false
      const next = this.#waiting.shift()
      if (next) next()
      else this.#free += 1
    }
  }

  /** @param {AbortSignal} signal @returns {Promise<boolean>} whether a slot was handed over */
  #wait(signal) {
    return new Promise(resolve => {
      const handOver = () => {
        signal.removeEventListener('abort', giveUp)
        resolve(true)
      }
      const giveUp = () => {
        this.#waiting = this.#waiting.filter(waiting => waiting !== handOver)
        resolve(false)
      }
      if (signal.aborted) return resolve(false)
      signal.addEventListener('abort', giveUp, { once: true })
      this.#waiting.push(handOver)
    })
  }
}
