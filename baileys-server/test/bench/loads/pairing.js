import { performance } from 'node:perf_hooks'
import { countKeys } from '../workload.js'

/**
 * What a pairing writes: 812 pre-keys in one set, then the creds. One session after the other, each a new one; only the
 * time of the set counts, the creds are written all the same.
 *
 * @param {import('../main.js').Bench} bench
 */
export async function run({ store, workload, window, options }) {
  const [first, ...others] = options.sessions
  await pair(first)
  window.begin()
  for (const number of others) await pair(number)
  window.end()

  /** @param {number} number */
  async function pair(number) {
    const session = await store.session(number)
    const startedAt = performance.now()
    await session.set(workload.pairing)
    window.wrote(countKeys(workload.pairing), startedAt)
    await session.saveCreds()
    window.handledMessage()
  }
}
