import { setTimeout as sleep } from 'node:timers/promises'
import { released, say } from '../window.js'

/** Slow enough that saying what was acknowledged isn't most of the work. */
const PAUSE_MS = 10
export const KEY = 'acknowledged.0'

/**
 * Each session writes 1, 2, 3 ... into one key and says which of them was acknowledged, until nobody wants more.
 *
 * @param {import('../main.js').Bench} bench
 */
export async function run({ store, options }) {
  let running = true
  released.then(() => { running = false })
  await Promise.all(options.sessions.map(async number => {
    const session = await store.session(number)
    for (let n = 1; running; n++) {
      await session.set({ session: { [KEY]: { number: n } } })
      say({ event: 'acknowledged', session: number, number: n })
      await sleep(PAUSE_MS)
    }
  }))
}
