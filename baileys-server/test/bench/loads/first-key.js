import { performance } from 'node:perf_hooks'

/**
 * The first key that a session asks for: one read after the other, each of a key that was never read before.
 *
 * @param {import('../main.js').Bench} bench
 */
export function run(bench) {
  return readEachOnce(bench, number => bench.store.session(number))
}

/**
 * @param {import('../main.js').Bench} bench
 * @param {(number: number) => Promise<import('../main.js').Session>} open
 */
export async function readEachOnce({ workload, window, options }, open) {
  const ids = sessionIdsOf(workload)
  const [warm, ...sessions] = await Promise.all(options.sessions.map(open))
  for (const id of ids) await warm.get('session', [id])
  window.begin()
  for (const session of sessions) {
    for (const id of ids) {
      const startedAt = performance.now()
      const found = await session.get('session', [id])
      window.took(startedAt)
      if (!found[id]) throw new Error(`The session record ${id} is missing.`)
    }
  }
  window.end()
}

/**
 * The Signal sessions that the recording leaves behind.
 * @param {import('../workload.js').Workload} workload
 */
export function sessionIdsOf({ messages }) {
  const sets = messages.flatMap(message => message.sets)
  return [...new Set(sets.flatMap(set => Object.keys(set.session ?? {})))]
}
