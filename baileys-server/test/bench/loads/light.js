import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { countKeys, messagesOf } from '../workload.js'

/**
 * Messages at a fixed rate over all sessions, at random moments (Poisson): most find an idle store.
 *
 * @param {import('../main.js').Bench} bench
 */
export async function run({ store, workload, window, options }) {
  const lines = await Promise.all(options.sessions.map(async number => {
    return { session: await store.session(number), messages: messagesOf(workload, number + options.offset), last: Promise.resolve() }
  }))
  const arriving = arrivals()
  await window.measure(options.seconds)
  await arriving
  await Promise.all(lines.map(({ last }) => last))

  async function arrivals() {
    let due = performance.now()
    while (window.running) {
      due += -Math.log(1 - Math.random()) * 1000 / options.messages_per_second
      if (due > performance.now()) await sleep(due - performance.now())
      const line = lines[Math.floor(Math.random() * lines.length)]
      // A session handles one message after the other, as Baileys does.
      line.last = line.last.then(() => handle(line.session, line.messages.next().value))
    }
  }

  /**
   * @param {import('../main.js').Session} session
   * @param {import('../workload.js').Message} message
   */
  async function handle(session, { sets, creds }) {
    for (const set of sets) {
      const startedAt = performance.now()
      await session.set(set)
      window.wrote(countKeys(set), startedAt)
    }
    if (creds) await session.saveCreds()
    window.handledMessage()
  }
}
