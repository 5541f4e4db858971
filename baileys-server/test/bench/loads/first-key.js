/**
 * The first key that a session asks for: one read after the other, each of a key that was never read before.
 *
 * @param {import('../main.js').Bench} bench
 */
export async function run({ store, workload, window, options }) {
  const ids = sessionIdsOf(workload)
  const [warm, ...sessions] = await Promise.all(options.sessions.map(number => store.session(number)))
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
 * One session of all that a message of the recording wrote, so that there is something to read.
 * @param {import('../workload.js').Workload} workload
 */
export function sessionIdsOf({ messages }) {
  const sets = messages.flatMap(message => message.sets)
  return [...new Set(sets.flatMap(set => Object.keys(set.session ?? {})))]
}
