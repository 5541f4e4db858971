/** Test equipment: a clock that stands still until a test moves it. */
export class FakeClock {
  #now = 1_766_000_000_000
  /** @type {{at: number, callback: () => void}[]} */
  #timers = []

  now = () => this.#now

  uptime = () => this.#now

  after = (ms, callback) => {
    const timer = { at: this.#now + ms, callback }
    this.#timers.push(timer)
    return () => { this.#timers = this.#timers.filter(other => other !== timer) }
  }

  /** Milliseconds until each timer that is set. */
  get waits() {
    return this.#timers.map(timer => timer.at - this.#now).sort((a, b) => a - b)
  }

  /** Runs what is due on the way, each with its own time. */
  async advance(ms) {
    const end = this.#now + ms
    for (;;) {
      await settled()
      const [next] = this.#timers.filter(timer => timer.at <= end).sort((a, b) => a.at - b.at)
      if (!next) break
      this.#timers = this.#timers.filter(timer => timer !== next)
      this.#now = Math.max(this.#now, next.at)
      next.callback()
    }
    this.#now = end
    await settled()
  }
}

/** A few turns of the event loop: everything that needs no time and no network has happened. */
export async function settled(turns = 5) {
  for (let turn = 0; turn < turns; turn++) await new Promise(resolve => setImmediate(resolve))
}
