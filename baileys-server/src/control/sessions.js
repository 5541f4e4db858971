import { ControlError } from '../connections/control-error.js'
import { settingsOf } from '../connections/session-settings.js'
import { invalid, isPositiveInteger, objectOf, ok, route } from './request.js'

/**
 * What runs here, and the life of each session.
 *
 * @param {import('../control-api.js').Parts} parts
 * @returns {import('./request.js').Route[]}
 */
export function sessionRoutes({ registry, journal, heap, processFigures, instance, lastWords }) {
  return [
    route('GET', '/health', () => ok({ instance, sessions: registry.size })),
    route('GET', '/v1/sessions', ({ query }) => {
      journal.hold(query.get('journal') === 'held')
      const { draining, undrained, bytes, limit } = journal
      return ok({
        instance, draining, undrained, journal: { bytes, limit }, heap: heap(), process: processFigures(), last_words: lastWords, sessions: registry.describe()
      })
    }),
    route('PUT', '/v1/sessions/{ref}', ({ sessionRef, body }) => {
      const session = { sessionRef, ...sessionOf(body) }
      // What an earlier process kept is newer than what the store has; a session that starts would load the old.
      if (journal.draining) throw new ControlError('draining', 'The journal of an earlier process is being written; start again later.')
      registry.start(session)
      return { status: 202, body: {} }
    }),
    route('PATCH', '/v1/sessions/{ref}', async ({ sessionRef, body }) => {
      const settings = settingsOf(objectOf(body).settings)
      return ok({ renewed: await registry.get(sessionRef).applySettings(settings) })
    }),
    route('DELETE', '/v1/sessions/{ref}', async ({ sessionRef, body }) => {
      await registry.stop(sessionRef, reasonOf(body))
      if (journal.undrained.includes(sessionRef)) throw new ControlError('undrained', 'The socket is closed, but the last writes are only in the journal; ask again later.')
      return ok({})
    }),
    route('POST', '/v1/sessions/{ref}/logout', async ({ sessionRef }) => {
      await registry.get(sessionRef).logout()
      return ok({})
    }),
    route('POST', '/v1/sessions/{ref}/pairing-code', async ({ sessionRef, body }) => {
      const phone = phoneOf(body)
      return ok(await registry.get(sessionRef).requestPairingCode(phone))
    })
  ]
}

/** @param {any} body */
function sessionOf(body) {
  const { session_id: sessionId, generation, epoch, settings } = objectOf(body)
  if (typeof sessionId !== 'string' || sessionId === '' || sessionId.length > 200) throw invalid('session_id must be 1 to 200 characters.')
  if (!isPositiveInteger(generation)) throw invalid('generation must be a positive integer.')
  if (!isPositiveInteger(epoch)) throw invalid('epoch must be a positive integer.')
  return { sessionId, generation, epoch, settings: settingsOf(settings ?? {}) }
}

/** @param {any} body none, or why the session is stopped */
function reasonOf(body) {
  if (body === undefined) return undefined
  const { reason } = objectOf(body)
  if (reason !== undefined && (typeof reason !== 'string' || reason.length > 500)) throw invalid('reason must be at most 500 characters.')
  return reason
}

/** @param {any} body */
function phoneOf(body) {
  const { phone } = objectOf(body)
  if (typeof phone !== 'string' || !/^[1-9]\d{6,14}$/.test(phone)) throw invalid('phone must be 7 to 15 digits with the country code, without +.')
  return phone
}
