import { within } from '../clock.js'
import { failureOf, noAnswer } from './failure.js'
import { OPERATIONS } from './table.js'
import { ControlError } from '../connections/control-error.js'

/**
 * What an operation works with.
 *
 * @typedef {object} Context
 * @property {any} sock Baileys' socket, open
 * @property {import('../connections/directory.js').Directory} directory
 * @property {Map<string, any>} cache what lives as long as this connection
 * @property {import('../clock.js').Clock} clock
 *
 * @typedef {object} Operation
 * @property {import('./fields.js').Reader<any>} takes
 * @property {(context: Context, args: any) => Promise<object | void>} run
 */

/**
 * Of a whole operation. Below the 60 s after which Baileys' queries resolve with undefined, so that no operation can
 * take silence for an answer.
 */
const LIMIT_MS = 25_000

/**
 * @param {string} name
 * @param {unknown} body
 * @returns {(context: Context) => Promise<object>} the operation, its arguments read
 */
export function operation(name, body) {
  if (!Object.hasOwn(OPERATIONS, name)) throw new ControlError('not_found', `There is no operation ${name.slice(0, 100)}.`)
  const { takes, run } = OPERATIONS[name]
  const args = takes(body ?? {}, '')
  return async context => {
    const work = run(context, args).then(answer => answer ?? {}, error => { throw failureOf(error) })
    const answer = await within(context.clock, LIMIT_MS, work)
    if (answer !== undefined) return answer
    work.catch(() => {})
    throw noAnswer(`WhatsApp did not answer within ${LIMIT_MS / 1000} s.`)
  }
}
