/**
 * Keeps long timers from holding a test process open, imported before Baileys.
 *
 * Baileys leaves some behind after `end()`: the 30 s guard of a pre-key upload, and the sweep of every cache.
 */
const LONG_MS = 5000

for (const name of /** @type {const} */ (['setTimeout', 'setInterval'])) {
  const original = /** @type {any} */ (globalThis[name])
  const patched = (/** @type {unknown} */ callback, /** @type {number} */ delayMs, /** @type {unknown[]} */ ...rest) => {
    const timer = original(callback, delayMs, ...rest)
    return delayMs >= LONG_MS ? timer.unref() : timer
  }
  globalThis[name] = /** @type {any} */ (Object.assign(patched, original))
}
