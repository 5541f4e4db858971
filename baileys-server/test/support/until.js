/** As in tests/support/processes.py: how many times its seconds each deadline has. */
export const PATIENCE = Number(process.env.TEST_PATIENCE ?? 1)

/**
 * Waits for a condition, with a deadline.
 * @template T
 * @param {string} what
 * @param {() => T | Promise<T>} condition
 * @returns {Promise<NonNullable<T>>}
 */
export async function until(what, condition, deadlineMs = 20_000) {
  const deadline = Date.now() + deadlineMs * PATIENCE
  for (let pauseMs = 10; ; pauseMs = Math.min(1.3 * pauseMs, 100)) {
    const value = await condition()
    if (value) return /** @type {NonNullable<T>} */ (value)
    if (Date.now() > deadline) throw new Error(`Not in time: ${what}`)
    await new Promise(resolve => setTimeout(resolve, pauseMs))
  }
}
