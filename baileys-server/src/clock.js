import { performance } from 'node:perf_hooks'

/** Time as an argument, so that tests decide what time it is. */

/**
 * @typedef {object} Clock
 * @property {() => number} now milliseconds since 1970 UTC, for people and protocols; it jumps when somebody sets the clock
 * @property {() => number} uptime milliseconds since some moment, for durations; it never jumps
 * @property {(ms: number, callback: () => void) => () => void} after calls back once; returns its cancellation
 */

/** @type {Clock} */
export const systemClock = {
  now: () => Date.now(),
  uptime: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms)
    return () => clearTimeout(timer)
  }
}

/**
 * Sleeps, or returns earlier when the signal is aborted: the caller looks at the signal, nothing is thrown.
 * @param {Clock} clock
 * @param {number} ms
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function sleep(clock, ms, signal) {
  return new Promise(resolve => {
    if (signal?.aborted) return resolve()
    const wake = () => {
      cancel()
      signal?.removeEventListener('abort', wake)
      resolve()
    }
    const cancel = clock.after(ms, wake)
    signal?.addEventListener('abort', wake, { once: true })
  })
}

/**
 * The promise's value, or undefined when the time is over first. The promise goes on either way.
 * @template T
 * @param {Clock} clock
 * @param {number} ms
 * @param {Promise<T>} promise
 * @returns {Promise<T | undefined>}
 */
export async function within(clock, ms, promise) {
  /** @type {() => void} */
  let cancel = () => {}
  const timeout = new Promise(resolve => {
    cancel = clock.after(ms, () => resolve(undefined))
  })
  try {
    return /** @type {T | undefined} */ (await Promise.race([promise, timeout]))
  } finally {
    cancel()
  }
}
