import { KEY } from './acknowledge.js'

/**
 * The number that each session has stored; see acknowledge.js.
 *
 * @param {import('../main.js').Bench} bench
 */
export async function run({ store, options }) {
  const stored = await Promise.all(options.sessions.map(async number => {
    const { [KEY]: value } = await (await store.session(number)).get('session', [KEY])
    return [number, value?.number ?? 0]
  }))
  return { stored: Object.fromEntries(stored) }
}
