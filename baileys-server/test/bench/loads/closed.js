import { performance } from 'node:perf_hooks'
import { countKeys, messagesOf } from '../workload.js'

/**
 * Each session awaits its set, then does the next: as many sets are under way as there are sessions.
 *
 * @param {import('../main.js').Bench} bench
 */
export async function run({ store, workload, window, options }) {
  const sessions = await Promise.all(options.sessions.map(number => store.session(number)))
  const loops = sessions.map((session, index) => replay(session, messagesOf(workload, options.sessions[index] + options.offset)))
  await window.measure(options.seconds)
  await Promise.all(loops)

  /**
   * @param {import('../main.js').Session} session
   * @param {Generator<import('../workload.js').Message, never>} messages
   */
  async function replay(session, messages) {
    while (window.running) {
      const { sets, creds } = messages.next().value
      for (const set of sets) {
        const startedAt = performance.now()
        await session.set(set)
        window.wrote(countKeys(set), startedAt)
      }
      if (creds) await session.saveCreds()
      window.handledMessage()
    }
  }
}
