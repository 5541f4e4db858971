import { operation } from '../operations/perform.js'
import { ok, route } from './request.js'

/**
 * Everything that is asked of a session beside sending: one route for all, typed by the table of operations.
 *
 * @param {import('../control-api.js').Parts} parts
 * @returns {import('./request.js').Route[]}
 */
export function operationRoutes({ registry }) {
  return [
    route('POST', '/v1/sessions/{ref}/operations/{name}', async ({ sessionRef, params, body }) => {
      const perform = operation(params.name, body)
      return ok(await registry.getForSend(sessionRef).perform(perform))
    })
  ]
}
