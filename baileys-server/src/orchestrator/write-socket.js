import http from 'node:http'
import { OrchestratorUnavailable, errorFromAnswer } from './errors.js'

/** @typedef {import('../clock.js').Clock} Clock */

const PATH = '/internal/v1/auth-states/writes'
const LENGTH_BYTES = 4
const OUTCOMES = 0

/**
 * Frames to the orchestrator and their answers, one after the other, over a connection to its unix socket that HTTP has
 * upgraded. It is opened when it is needed. A frame without an answer closes it: an answer must never be taken for that
 * of a later frame.
 */
export class WriteSocket {
  /** @type {import('node:stream').Duplex | null} */
  #connection = null
  /** @type {http.ClientRequest | null} for a connection */
  #opening = null
  /** @type {{frame: Uint8Array, resolve: (answer: Buffer) => void, reject: (error: Error) => void} | null} */
  #waiting = null
  /** What arrived of an answer. @type {Buffer} */
  #arrived = Buffer.alloc(0)
  #options
  #timeoutMs
  #clock

  /** @param {{socketPath: string, token: string, timeoutMs: number, clock: Clock}} options */
  constructor({ socketPath, token, timeoutMs, clock }) {
    const headers = { host: 'orchestrator', authorization: `Bearer ${token}`, connection: 'Upgrade', upgrade: 'tcp' }
    this.#options = { socketPath, path: PATH, headers, agent: false }
    this.#timeoutMs = timeoutMs
    this.#clock = clock
  }

  /**
   * @param {Uint8Array} frame
   * @returns {Promise<Buffer>} the answer
   * @throws {import('./errors.js').OrchestratorError} RequestRefused or OrchestratorUnavailable, for the whole frame
   */
  exchange(frame) {
    return new Promise((resolve, reject) => {
      const cancelTimeout = this.#clock.after(this.#timeoutMs, () => this.#fail(`No answer within ${this.#timeoutMs / 1000} s.`))
      this.#waiting = {
        frame,
        resolve: answer => { cancelTimeout(); resolve(answer) },
        reject: error => { cancelTimeout(); reject(error) }
      }
      if (this.#connection) this.#send(this.#connection)
      else this.#opening ??= this.#open()
    })
  }

  close() {
    this.#fail('The sidecar is stopping.')
  }

  #open() {
    const request = http.request(this.#options)
    const failed = (/** @type {string} */ reason) => { if (request === this.#opening) this.#fail(reason) }
    request.on('error', error => failed(error.message))
    request.on('response', response => failed(`It answered ${response.statusCode}.`))
    request.on('upgrade', (_response, connection, head) => {
      if (request === this.#opening) this.#opened(connection, head)
      else connection.destroy()
    })
    request.end()
    return request
  }

  /** @param {import('node:stream').Duplex} connection @param {Buffer} head what arrived of it already */
  #opened(connection, head) {
    this.#opening = null
    this.#connection = connection
    this.#arrived = head
    const failed = (/** @type {string} */ reason) => { if (connection === this.#connection) this.#fail(reason) }
    connection.on('data', data => { if (connection === this.#connection) this.#received(data) })
    connection.on('error', error => failed(error.message))
    connection.on('close', () => failed('The connection was closed.'))
    connection.on('end', () => failed('The connection was ended.'))
    this.#send(connection)
  }

  /** @param {import('node:stream').Duplex} connection */
  #send(connection) {
    if (!this.#waiting) return
    const { frame } = this.#waiting
    const framed = Buffer.allocUnsafe(LENGTH_BYTES + frame.length)
    framed.writeUInt32BE(frame.length)
    framed.set(frame, LENGTH_BYTES)
    connection.write(framed)
  }

  /** `length (4 bytes, big-endian) | kind (1 byte) | answer` @param {Buffer} data */
  #received(data) {
    this.#arrived = this.#arrived.length === 0 ? data : Buffer.concat([this.#arrived, data])
    if (this.#arrived.length < LENGTH_BYTES) return
    const end = LENGTH_BYTES + this.#arrived.readUInt32BE()
    if (this.#arrived.length < end || end === LENGTH_BYTES) return
    const kind = this.#arrived[LENGTH_BYTES]
    const answer = this.#arrived.subarray(LENGTH_BYTES + 1, end)
    this.#arrived = this.#arrived.subarray(end)
    const waiting = this.#waiting
    this.#waiting = null
    if (kind === OUTCOMES) waiting?.resolve(answer)
    else waiting?.reject(errorFromProblem(answer))
  }

  /** @param {string} reason */
  #fail(reason) {
    const [opening, connection, waiting] = [this.#opening, this.#connection, this.#waiting]
    this.#opening = this.#connection = this.#waiting = null
    opening?.destroy()
    connection?.destroy()
    waiting?.reject(new OrchestratorUnavailable(`The orchestrator is out of reach: ${reason}`, { code: 'unreachable' }))
  }
}

/** @param {Buffer} document about the whole frame */
function errorFromProblem(document) {
  try {
    const problem = JSON.parse(document.toString())
    return errorFromAnswer(problem.status, problem)
  } catch {
    return errorFromAnswer(500, undefined)
  }
}
