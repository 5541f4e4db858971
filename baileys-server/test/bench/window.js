import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { stdin, stdout } from 'node:process'

/** Long enough for prepared statements, connections and the first of what V8 compiles; a service runs for weeks. */
const WARM_UP_MS = 2000

/**
 * What was done while somebody measured, and how long each `await` of a set took.
 */
export class Window {
  #open = false
  #startedAt = 0
  #seconds = 0
  #latencies = /** @type {number[]} */ ([])
  #counts = { messages: 0, sets: 0, keys: 0 }

  /** False once the load should come to its end. */
  running = true

  /**
   * Warms up, then measures for the time. The program that started us reads its meters at each of the two lines.
   * @param {number} seconds
   */
  async measure(seconds) {
    await sleep(WARM_UP_MS)
    this.begin()
    await sleep(seconds * 1000)
    this.end()
  }

  begin() {
    say({ event: 'begin' })
    this.#open = true
    this.#startedAt = performance.now()
  }

  end() {
    this.#seconds = (performance.now() - this.#startedAt) / 1000
    this.#open = false
    this.running = false
    say({ event: 'end' })
  }

  /** @param {number} keys @param {number} startedAt `performance.now()` before the call */
  wrote(keys, startedAt) {
    if (!this.#open) return
    this.#counts.sets++
    this.#counts.keys += keys
    this.#latencies.push(performance.now() - startedAt)
  }

  /** @param {number} startedAt */
  took(startedAt) {
    if (this.#open) this.#latencies.push(performance.now() - startedAt)
  }

  handledMessage() {
    if (this.#open) this.#counts.messages++
  }

  get result() {
    const sorted = Float64Array.from(this.#latencies).sort()
    const at = (/** @type {number} */ share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? null
    return { seconds: this.#seconds, ...this.#counts, p50_ms: at(0.5), p99_ms: at(0.99) }
  }
}

/** One line for the program that started us. @param {object} line */
export function say(line) {
  stdout.write(`${JSON.stringify(line)}\n`)
}

/** Resolves when the program that started us wants no more of us. */
export const released = new Promise(resolve => stdin.once('end', resolve))
stdin.resume()
