import { memoryUsage } from 'node:process'

/**
 * All sessions as after a start: until the creds of every one are in hand, and the memory that takes.
 *
 * @param {import('../main.js').Bench} bench
 */
export async function run({ store, window, options }) {
  await store.restore(options.sessions.slice(0, 1))
  const before = resident()
  window.begin()
  const restored = await store.restore(options.sessions)
  window.end()
  const bytes = resident() - before
  return { restored: restored.filter(isPaired).length, bytes_per_session: bytes / restored.length }
}

/** What is left after a full collection; needs `--expose-gc`. */
function resident() {
  for (let n = 0; n < 3; n++) globalThis.gc?.()
  const { heapUsed, external } = memoryUsage()
  return heapUsed + external
}

/** @param {any} creds */
const isPaired = creds => Boolean(creds?.me?.id)
