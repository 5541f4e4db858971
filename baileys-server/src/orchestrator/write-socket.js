import { WebSocket } from 'ws'
import { OrchestratorUnavailable, errorFromAnswer } from './errors.js'

/** @typedef {import('../clock.js').Clock} Clock */

const PATH = '/internal/v1/auth-states/writes'

/**
 * Frames to the orchestrator and their answers, one after the other, over a WebSocket on its unix socket. It is opened
 * when it is needed. A frame without an answer closes it: an answer must never be taken for that of a later frame.
 */
export class WriteSocket {
  /** @type {WebSocket | null} */
  #webSocket = null
  /** @type {{resolve: (answer: Buffer) => void, reject: (error: Error) => void} | null} */
  #waiting = null
  #url
  #options
  #timeoutMs
  #clock

  /** @param {{socketPath: string, token: string, timeoutMs: number, clock: Clock}} options */
  constructor({ socketPath, token, timeoutMs, clock }) {
    this.#url = `ws+unix:${socketPath}:${PATH}`
    // A mask protects proxies, and there is none on a unix socket; a mask of zeros need not be applied (RFC 6455, 5.3).
    const generateMask = (/** @type {Buffer} */ mask) => { mask.fill(0) }
    this.#options = { perMessageDeflate: false, generateMask, headers: { authorization: `Bearer ${token}`, host: 'orchestrator' } }
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
        resolve: answer => { cancelTimeout(); resolve(answer) },
        reject: error => { cancelTimeout(); reject(error) }
      }
      this.#webSocket ??= this.#open()
      if (this.#webSocket.readyState === WebSocket.OPEN) this.#webSocket.send(frame)
      else this.#webSocket.once('open', () => this.#webSocket?.send(frame))
    })
  }

  close() {
    this.#fail('The sidecar is stopping.')
  }

  #open() {
    const webSocket = new WebSocket(this.#url, this.#options)
    webSocket.on('message', (data, isBinary) => this.#answered(/** @type {Buffer} */ (data), isBinary))
    webSocket.on('error', error => this.#fail(error.message, webSocket))
    webSocket.on('close', () => this.#fail('The connection was closed.', webSocket))
    return webSocket
  }

  /** @param {Buffer} data @param {boolean} isBinary false: a problem document about the whole frame */
  #answered(data, isBinary) {
    const waiting = this.#waiting
    this.#waiting = null
    if (isBinary) waiting?.resolve(data)
    else waiting?.reject(errorFromProblem(data))
  }

  /** @param {string} reason @param {WebSocket | null} webSocket the one it is about */
  #fail(reason, webSocket = this.#webSocket) {
    if (webSocket !== this.#webSocket) return
    this.#webSocket = null
    webSocket?.terminate()
    const waiting = this.#waiting
    this.#waiting = null
    waiting?.reject(new OrchestratorUnavailable(`The orchestrator is out of reach: ${reason}`, { code: 'unreachable' }))
  }
}

/** @param {Buffer} data */
function errorFromProblem(data) {
  try {
    const problem = JSON.parse(data.toString())
    return errorFromAnswer(problem.status, problem)
  } catch {
    return errorFromAnswer(500, undefined)
  }
}
