import { sessionIdsOf } from './first-key.js'

const KEYS_PER_SET = 500

/**
 * Gives each session what the recording leaves behind, and as many more keys as asked for: nothing is measured.
 *
 * @param {import('../main.js').Bench} bench
 */
export async function run({ store, workload, window, options }) {
  const records = newestSessions()
  const filler = records[sessionIdsOf(workload)[0]]
  window.begin()
  for (const number of options.sessions) {
    const session = await store.session(number)
    await session.saveCreds()
    if (options.keys > 0) await session.set({ session: records })
    for (let first = 0; first < options.keys; first += KEYS_PER_SET) {
      const ids = Array.from({ length: Math.min(KEYS_PER_SET, options.keys - first) }, (_, n) => `filler${first + n}.0`)
      await session.set({ session: Object.fromEntries(ids.map(id => [id, filler])) })
    }
  }
  window.end()

  /** @returns {Record<string, any>} */
  function newestSessions() {
    const sets = workload.messages.flatMap(message => message.sets)
    return Object.assign({}, ...sets.map(set => set.session ?? {}))
  }
}
