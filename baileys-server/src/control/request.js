/**
 * What the modules of routes share.
 *
 * @typedef {{status: number, body: object}} JsonAnswer
 * @typedef {{status: number, headers: Record<string, string>, stream: import('node:stream').Readable}} StreamAnswer bytes, as fast as they are read
 * @typedef {JsonAnswer | StreamAnswer} Answer
 *
 * @typedef {object} Request
 * @property {number} sessionRef of a path with `{ref}`, else 0
 * @property {Record<string, string>} params what stands in the other places of the path, decoded
 * @property {URLSearchParams} query
 * @property {any} body
 * @property {AbortSignal} signal aborted when the caller has gone
 *
 * @typedef {(request: Request) => Promise<Answer> | Answer} Handler
 * @typedef {{method: string, pattern: RegExp, names: string[], handler: Handler}} Route
 */

export class BadRequest extends Error {
  /** @param {string} code @param {string} detail */
  constructor(code, detail) {
    super(detail)
    this.code = code
  }
}

/**
 * @param {string} method
 * @param {string} path with places: `/v1/sessions/{ref}/groups/{group}`. `{ref}` is a session_ref, digits only
 * @param {Handler} handler
 * @returns {Route}
 */
export function route(method, path, handler) {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
  const pattern = path.replaceAll('.', '\\.').replace('{ref}', '(\\d{1,16})').replaceAll(/\{\w+\}/g, '([^/]+)')
  return { method, pattern: new RegExp(`^${pattern}$`), names, handler }
}

/** @param {object} body @returns {JsonAnswer} */
export const ok = body => ({ status: 200, body })

/** @param {string} detail */
export const invalid = detail => new BadRequest('invalid_request', detail)

/** @param {any} body */
export function objectOf(body) {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw invalid('The body must be a JSON object.')
  return body
}

/** @param {unknown} value */
export const isPositiveInteger = value => Number.isSafeInteger(value) && Number(value) > 0
