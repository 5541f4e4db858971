import { readEachOnce } from './first-key.js'

/**
 * The first key that a session asks for after a start that brought its keys along.
 *
 * @param {import('../main.js').Bench} bench
 */
export function run(bench) {
  return readEachOnce(bench, number => bench.store.started(number))
}
