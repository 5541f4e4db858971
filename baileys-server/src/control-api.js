import { createHash, timingSafeEqual } from 'node:crypto'
import http from 'node:http'
import { URLSearchParams } from 'node:url'
import { ControlError } from './connections/control-error.js'
import { safeError } from './log.js'

/**
 * The control API of docs/internal-api.md. Errors are problem documents; bad input is never a 500.
 *
 * @typedef {object} Parts
 * @property {import('./connections/registry.js').Registry} registry
 * @property {{draining: boolean, undrained: number[], bytes: number, limit: number, hold: (held: boolean) => void}} journal
 *   as it is at the moment of the question
 * @property {() => {used: number, limit: number}} heap how near this process is to the end that V8 makes when memory runs out
 * @property {string} instance
 * @property {import('./connections/last-words.js').LastWords | null} lastWords of the process before
 * @property {string} token
 * @property {import('./log.js').Logger} log
 *
 * @typedef {{status: number, body: object}} Answer
 * @typedef {(request: {sessionRef: number, query: URLSearchParams, body: any}) => Promise<Answer> | Answer} Handler
 */

const MAX_BODY_BYTES = 1024 * 1024
const MAX_TEXT_CHARACTERS = 65_536

/** The one table from codes to statuses and titles. @type {Record<string, [status: number, title: string]>} */
const PROBLEMS = {
  malformed_json: [400, 'Malformed JSON'],
  unauthorized: [401, 'Unauthorized'],
  not_found: [404, 'Not found'],
  session_not_running: [404, 'Session not running'],
  method_not_allowed: [405, 'Method not allowed'],
  stale_epoch: [409, 'Stale epoch'],
  session_not_open: [409, 'Session not open'],
  already_paired: [409, 'Already paired'],
  not_pairing: [409, 'Not pairing'],
  pairing_code_refused: [409, 'Pairing code refused'],
  pairing_code_rate_limited: [429, 'Too many pairing codes'],
  body_too_large: [413, 'Body too large'],
  invalid_request: [422, 'Invalid request'],
  internal_error: [500, 'Internal error'],
  send_failed: [502, 'Send failed'],
  draining: [503, 'Draining'],
  shutting_down: [503, 'Shutting down'],
  undrained: [503, 'Undrained']
}

class BadRequest extends Error {
  /** @param {string} code @param {string} detail */
  constructor(code, detail) {
    super(detail)
    this.code = code
  }
}

/**
 * @param {Parts} parts
 * @returns {http.Server}
 */
export function createControlApi(parts) {
  const isAuthorized = tokenCheck(parts.token)
  const routes = makeRoutes(parts)
  return http.createServer(async (request, response) => {
    const answer = await answerTo(request, routes, isAuthorized).catch(error => problem(error, parts.log))
    if (!request.complete) response.setHeader('connection', 'close')
    const text = JSON.stringify(answer.body)
    response.writeHead(answer.status, {
      'content-type': answer.status >= 400 ? 'application/problem+json' : 'application/json',
      'content-length': Buffer.byteLength(text)
    })
    response.end(text)
  })
}

/**
 * @param {http.IncomingMessage} request
 * @param {ReturnType<typeof makeRoutes>} routes
 * @param {(header: string | undefined) => boolean} isAuthorized
 */
async function answerTo(request, routes, isAuthorized) {
  if (!isAuthorized(request.headers.authorization)) throw new BadRequest('unauthorized', 'The bearer token is missing or wrong.')
  const [path, query = ''] = (request.url ?? '').split('?', 2)
  const candidates = routes.flatMap(({ method, pattern, handler }) => {
    const match = pattern.exec(path)
    return match ? [{ method, handler, ref: match[1] }] : []
  })
  if (candidates.length === 0) throw new BadRequest('not_found', `There is no ${path.slice(0, 100)} here.`)
  const route = candidates.find(candidate => candidate.method === request.method)
  if (!route) throw new BadRequest('method_not_allowed', `${request.method} is not possible here.`)
  const body = await readBody(request)
  const sessionRef = route.ref === undefined ? 0 : Number(route.ref)
  if (route.ref !== undefined && !isPositiveInteger(sessionRef)) throw invalid('The session_ref must be a positive integer.')
  return await route.handler({ sessionRef, query: new URLSearchParams(query), body })
}

/**
 * @param {Parts} parts
 * @returns {{method: string, pattern: RegExp, handler: Handler}[]}
 */
function makeRoutes({ registry, journal, heap, instance, lastWords }) {
  /** @type {(method: string, pattern: RegExp, handler: Handler) => {method: string, pattern: RegExp, handler: Handler}} */
  const route = (method, pattern, handler) => ({ method, pattern, handler })
  const session = /^\/v1\/sessions\/(\d{1,16})$/
  return [
    route('GET', /^\/health$/, () => ok({ instance, sessions: registry.size })),
    route('GET', /^\/v1\/sessions$/, ({ query }) => {
      journal.hold(query.get('journal') === 'held')
      const { draining, undrained, bytes, limit } = journal
      return ok({
        instance, draining, undrained, journal: { bytes, limit }, heap: heap(), last_words: lastWords, sessions: registry.describe()
      })
    }),
    route('PUT', session, ({ sessionRef, body }) => {
      const session = { sessionRef, ...sessionOf(body) }
      // What an earlier process kept is newer than what the store has; a session that starts would load the old.
      if (journal.draining) throw new ControlError('draining', 'The journal of an earlier process is being written; start again later.')
      registry.start(session)
      return { status: 202, body: {} }
    }),
    route('DELETE', session, async ({ sessionRef, body }) => {
      await registry.stop(sessionRef, reasonOf(body))
      if (journal.undrained.includes(sessionRef)) throw new ControlError('undrained', 'The socket is closed, but the last writes are only in the journal; ask again later.')
      return ok({})
    }),
    route('POST', /^\/v1\/sessions\/(\d{1,16})\/logout$/, async ({ sessionRef }) => {
      await registry.get(sessionRef).logout()
      return ok({})
    }),
    route('POST', /^\/v1\/sessions\/(\d{1,16})\/pairing-code$/, async ({ sessionRef, body }) => {
      const phone = phoneOf(body)
      return ok(await registry.get(sessionRef).requestPairingCode(phone))
    }),
    route('POST', /^\/v1\/sessions\/(\d{1,16})\/messages$/, async ({ sessionRef, body }) => {
      const message = messageOf(body)
      return ok({ message_id: await registry.getForSend(sessionRef).send(message), to: message.to })
    })
  ]
}

/** @param {any} body */
function sessionOf(body) {
  const { session_id: sessionId, generation, epoch } = objectOf(body)
  if (typeof sessionId !== 'string' || sessionId === '' || sessionId.length > 200) throw invalid('session_id must be 1 to 200 characters.')
  if (!isPositiveInteger(generation)) throw invalid('generation must be a positive integer.')
  if (!isPositiveInteger(epoch)) throw invalid('epoch must be a positive integer.')
  return { sessionId, generation, epoch }
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

/** @param {any} body */
function messageOf(body) {
  const { to, type, text } = objectOf(body)
  if (typeof to !== 'string' || !/^(\d{5,20}@(s\.whatsapp\.net|lid)|[\d-]{5,40}@g\.us)$/.test(to)) {
    throw invalid('to must be the JID of a contact (@s.whatsapp.net, @lid) or of a group (@g.us).')
  }
  if (type !== 'text') throw invalid('type must be text.')
  if (typeof text !== 'string' || text === '' || text.length > MAX_TEXT_CHARACTERS) {
    throw invalid(`text must be 1 to ${MAX_TEXT_CHARACTERS} characters.`)
  }
  return { to, text }
}

/** @param {any} body */
function objectOf(body) {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw invalid('The body must be a JSON object.')
  return body
}

/** @param {http.IncomingMessage} request */
async function readBody(request) {
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) throw tooLarge()
  const chunks = []
  let length = 0
  for await (const chunk of request) {
    length += chunk.length
    if (length > MAX_BODY_BYTES) throw tooLarge()
    chunks.push(chunk)
  }
  if (length === 0) return undefined
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch {
    throw new BadRequest('malformed_json', 'The body is not JSON.')
  }
}

/**
 * Constant-time: both sides are hashed first, so that they have one length.
 * @param {string} token
 * @returns {(header: string | undefined) => boolean}
 */
function tokenCheck(token) {
  const hashed = (/** @type {string} */ text) => createHash('sha256').update(text).digest()
  const expected = hashed(`Bearer ${token}`)
  return header => timingSafeEqual(hashed(header ?? ''), expected)
}

/**
 * @param {any} error
 * @param {import('./log.js').Logger} log
 * @returns {Answer}
 */
function problem(error, log) {
  const known = error instanceof BadRequest || error instanceof ControlError
  if (!known) log.error(safeError(error), 'control_call_failed')
  const code = known ? error.code : 'internal_error'
  const [status, title] = PROBLEMS[code]
  return { status, body: { type: 'about:blank', title, status, code, detail: known ? error.message : 'See the log of the sidecar.' } }
}

/** @param {object} body @returns {Answer} */
const ok = body => ({ status: 200, body })
const invalid = (/** @type {string} */ detail) => new BadRequest('invalid_request', detail)
const tooLarge = () => new BadRequest('body_too_large', `A body is at most ${MAX_BODY_BYTES} bytes.`)
const isPositiveInteger = (/** @type {unknown} */ value) => Number.isSafeInteger(value) && Number(value) > 0
