import http from 'node:http'
import { sleep } from '../clock.js'
import { OrchestratorError, OrchestratorUnavailable, errorFromAnswer, malformedAnswer } from './errors.js'
import { WriteLane } from './write-lane.js'
import { WriteSocket } from './write-socket.js'

/** @typedef {import('../clock.js').Clock} Clock */

/**
 * @typedef {object} CallOptions
 * @property {(error: OrchestratorError) => void} [onAttemptFailed] told about every attempt that will be repeated, and the last
 * @property {AbortSignal} [signal] ends the waiting between attempts: the last error is thrown at once
 * @property {number} [retries]
 */

const RETRY_STEP_MS = 2000
const MAX_RETRY_STEPS = 3
const IDLE_SOCKET_MS = 30_000
/** More would not be faster: in each, the orchestrator writes one transaction after the other. */
const WRITE_LANES = 2

/**
 * The backup API over the orchestrator's unix socket: JSON calls, and the lanes of the write path. This room is the one
 * that repeats: a call up to `retries` times after 2, 4, 6, 6 ... seconds. Baileys' own commit retries are off.
 */
export class OrchestratorClient {
  #agent = new http.Agent({ keepAlive: true, timeout: IDLE_SOCKET_MS })
  #socketPath
  #token
  #timeoutMs
  #retries
  #clock
  #lanes
  #tracer

  /**
   * @param {{socketPath: string, token: string, timeoutMs: number, retries: number, clock: Clock,
   *   log: import('../log.js').Logger, tracer?: import('../tracing.js').Tracer | null}} options
   */
  constructor({ socketPath, token, timeoutMs, retries, clock, log, tracer = null }) {
    this.#tracer = tracer
    this.#socketPath = socketPath
    this.#token = token
    this.#timeoutMs = timeoutMs
    this.#retries = retries
    this.#clock = clock
    this.#lanes = Array.from({ length: WRITE_LANES }, () =>
      new WriteLane({ socket: new WriteSocket({ socketPath, token, timeoutMs, clock }), clock, log }))
  }

  /**
   * Always in the session's own lane, so that no two writes of it can cross.
   * @param {import('./write-frame.js').Lease} lease
   * @param {import('./write-lane.js').WriteRequest} request
   */
  write(lease, request) {
    return this.#lanes[lease.sessionRef % WRITE_LANES].write(lease, request)
  }

  /**
   * @param {string} path
   * @param {object} body
   * @param {CallOptions} [options]
   * @returns {Promise<any>} the body of the 200 answer
   * @throws {OrchestratorError}
   */
  async call(path, body, { onAttemptFailed, signal, retries = this.#retries } = {}) {
    const payload = Buffer.from(JSON.stringify(body))
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#post(path, payload)
      } catch (error) {
        const failure = asOrchestratorError(error)
        onAttemptFailed?.(failure)
        if (failure.final || attempt >= retries) throw failure
        await sleep(this.#clock, RETRY_STEP_MS * Math.min(attempt + 1, MAX_RETRY_STEPS), signal)
        if (signal?.aborted) throw failure
      }
    }
  }

  close() {
    this.#agent.destroy()
    for (const lane of this.#lanes) lane.close()
  }

  /**
   * @param {string} path
   * @param {Buffer} payload
   */
  async #post(path, payload) {
    const span = this.#tracer?.call(`orchestrator POST ${path.replaceAll(/\/\d+\//g, '/{ref}/')}`)
    try {
      const answer = await this.#requestAnew(path, payload, span?.header)
      span?.end()
      return answer
    } catch (error) {
      span?.end({ failed: String(/** @type {any} */ (error)?.code ?? 'error') })
      throw error
    }
  }

  /**
   * @param {string} path
   * @param {Buffer} payload
   * @param {string} [traceparent]
   */
  async #requestAnew(path, payload, traceparent) {
    try {
      return await this.#request(path, payload, traceparent)
    } catch (error) {
      // The server may close an idle connection just when we reuse it; that says nothing about the orchestrator.
      if (/** @type {any} */ (error)?.staleConnection) return await this.#request(path, payload, traceparent)
      throw error
    }
  }

  /**
   * @param {string} path
   * @param {Buffer} payload
   * @param {string} [traceparent]
   * @returns {Promise<any>}
   */
  #request(path, payload, traceparent) {
    return new Promise((resolve, reject) => {
      const request = http.request({
        agent: this.#agent,
        socketPath: this.#socketPath,
        method: 'POST',
        path,
        headers: {
          host: 'orchestrator',
          authorization: `Bearer ${this.#token}`,
          'content-type': 'application/json',
          'content-length': payload.length,
          ...(traceparent === undefined ? {} : { traceparent })
        }
      })
      const cancelTimeout = this.#clock.after(this.#timeoutMs, () => {
        request.destroy(new Error(`No answer within ${this.#timeoutMs / 1000} s.`))
      })
      /** @type {(error: any) => void} */
      const fail = error => {
        cancelTimeout()
        if (request.reusedSocket && ['ECONNRESET', 'EPIPE'].includes(error?.code)) error.staleConnection = true
        reject(error)
      }
      request.on('error', fail)
      request.on('response', response => {
        readAll(response).then(text => {
          cancelTimeout()
          resolve(bodyOf(response.statusCode ?? 0, text))
        }).catch(fail)
      })
      request.end(payload)
    })
  }
}

/** @param {http.IncomingMessage} response */
async function readAll(response) {
  const chunks = []
  for await (const chunk of response) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

/**
 * @param {number} status
 * @param {string} text
 */
function bodyOf(status, text) {
  let body
  try {
    body = JSON.parse(text)
  } catch {
    body = undefined
  }
  if (status !== 200) throw errorFromAnswer(status, body)
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw malformedAnswer('The answer is not a JSON object.')
  return body
}

/** @param {unknown} error */
function asOrchestratorError(error) {
  if (error instanceof OrchestratorError) return error
  const message = error instanceof Error ? error.message : String(error)
  return new OrchestratorUnavailable(`The orchestrator is out of reach: ${message}`, { code: 'unreachable', cause: error })
}
