import { createHash, timingSafeEqual } from 'node:crypto'
import http from 'node:http'
import { pipeline } from 'node:stream/promises'
import { URLSearchParams } from 'node:url'
import { messageRoutes } from './control/messages.js'
import { problem } from './control/problems.js'
import { operationRoutes } from './control/operations.js'
import { BadRequest, invalid, isPositiveInteger } from './control/request.js'
import { sessionRoutes } from './control/sessions.js'
import { safeError } from './log.js'
import { forRequest } from './request-id.js'

/**
 * The control API of docs/internal-api.md: server, token and bodies; the routes are in control/, by subject. Errors are
 * problem documents; bad input is never a 500.
 *
 * @typedef {object} Parts
 * @property {import('./connections/registry.js').Registry} registry
 * @property {{draining: boolean, undrained: number[], bytes: number, limit: number, hold: (held: boolean) => void}} journal
 *   as it is at the moment of the question
 * @property {() => {used: number, limit: number}} heap how near this process is to the end that V8 makes when memory runs out
 * @property {() => {resident_bytes: number, cpu_seconds: number, event_loop_utilization: number}} processFigures what the
 *   metrics tell of this process; the utilization is since an earlier question, of a second or more
 * @property {string} instance
 * @property {import('./connections/last-words.js').LastWords | null} lastWords of the process before
 * @property {string} token
 * @property {import('./log.js').Logger} log
 * @property {import('./tracing.js').Tracer | null} [tracer]
 */

const MAX_BODY_BYTES = 1024 * 1024
/**
 * Longer than the orchestrator keeps a connection that nobody uses (15 s), so that it is always the one that closes it: what
 * is sent on a connection that the other side is closing has no answer, and a message may have been sent.
 */
const KEEP_ALIVE_MS = 75_000

/**
 * @param {Parts} parts
 * @returns {http.Server}
 */
export function createControlApi(parts) {
  const isAuthorized = tokenCheck(parts.token)
  const routes = [...sessionRoutes(parts), ...messageRoutes(parts), ...operationRoutes(parts)]
  return http.createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => forRequest(headerOf(request, 'x-request-id'), async () => {
    const gone = new AbortController()
    response.once('close', () => gone.abort())
    const answer = await tracedAnswer(request, routes, isAuthorized, gone.signal, parts.tracer ?? null).catch(error => problem(error, parts.log))
    if (!request.complete) response.setHeader('connection', 'close')
    await ('stream' in answer ? sendStream(response, answer, parts.log) : sendJson(response, answer))
  }))
}

/** @param {http.ServerResponse} response @param {import('./control/request.js').JsonAnswer} answer */
function sendJson(response, { status, body }) {
  const text = JSON.stringify(body)
  response.writeHead(status, {
    'content-type': status >= 400 ? 'application/problem+json' : 'application/json',
    'content-length': Buffer.byteLength(text)
  })
  response.end(text)
}

/**
 * A stream that fails in its middle ends the connection, so that nobody takes the part for the whole.
 * @param {http.ServerResponse} response
 * @param {import('./control/request.js').StreamAnswer} answer
 * @param {import('./log.js').Logger} log
 */
async function sendStream(response, { status, headers, stream }, log) {
  response.writeHead(status, headers)
  await pipeline(stream, response).catch(error => log.warn(safeError(error), 'control_stream_ended_early'))
}

/**
 * @param {http.IncomingMessage} request
 * @param {import('./control/request.js').Route[]} routes
 * @param {(header: string | undefined) => boolean} isAuthorized
 * @param {AbortSignal} signal
 * @param {import('./tracing.js').Tracer | null} tracer
 */
async function tracedAnswer(request, routes, isAuthorized, signal, tracer) {
  const answer = () => answerTo(request, routes, isAuthorized, signal)
  if (!tracer) return await answer()
  const name = `${request.method} ${request.url?.split('?', 1)[0].replaceAll(/\/\d+(?=\/|$)/g, '/{ref}')}`
  return await tracer.served(name, headerOf(request, 'traceparent'), answer)
}

/** @param {http.IncomingMessage} request @param {string} name */
function headerOf(request, name) {
  const value = request.headers[name]
  return Array.isArray(value) ? value[0] : value
}

/**
 * @param {http.IncomingMessage} request
 * @param {import('./control/request.js').Route[]} routes
 * @param {(header: string | undefined) => boolean} isAuthorized
 * @param {AbortSignal} signal
 */
async function answerTo(request, routes, isAuthorized, signal) {
  if (!isAuthorized(request.headers.authorization)) throw new BadRequest('unauthorized', 'The bearer token is missing or wrong.')
  const [path, query = ''] = (request.url ?? '').split('?', 2)
  const candidates = routes.flatMap(route => {
    const match = route.pattern.exec(path)
    return match ? [{ ...route, params: paramsOf(route.names, match.slice(1)) }] : []
  })
  if (candidates.length === 0) throw new BadRequest('not_found', `There is no ${path.slice(0, 100)} here.`)
  const route = candidates.find(candidate => candidate.method === request.method)
  if (!route) throw new BadRequest('method_not_allowed', `${request.method} is not possible here.`)
  const body = await readBody(request)
  const { ref, ...params } = route.params
  const sessionRef = ref === undefined ? 0 : Number(ref)
  if (ref !== undefined && !isPositiveInteger(sessionRef)) throw invalid('The session_ref must be a positive integer.')
  return await route.handler({ sessionRef, params, query: new URLSearchParams(query), body, signal })
}

/** @param {string[]} names @param {string[]} values @returns {Record<string, string>} */
function paramsOf(names, values) {
  try {
    return Object.fromEntries(names.map((name, index) => [name, decodeURIComponent(values[index])]))
  } catch {
    throw invalid('The path is not percent-encoded UTF-8.')
  }
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

const tooLarge = () => new BadRequest('body_too_large', `A body is at most ${MAX_BODY_BYTES} bytes.`)
