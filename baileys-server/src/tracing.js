import { AsyncLocalStorage } from 'node:async_hooks'
import { randomBytes } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import { safeError } from './log.js'

/**
 * Traces, when somebody collects them: spans as OTLP in JSON over HTTP, some seconds late. Two kinds are all there is (a
 * call to this process, a call from it), so this is written here: the packages of OpenTelemetry for Node are 20 MB in
 * dozens of parts, and patch every module that is loaded.
 *
 * https://opentelemetry.io/docs/specs/otlp/#otlphttp, https://www.w3.org/TR/trace-context/
 *
 * @typedef {{traceId: string, spanId: string, ended: boolean}} Context
 * @typedef {{end: (attributes?: Record<string, string | number>) => void, header: string, context: Context}} Span
 */

const SERVER = 2
const CLIENT = 3
const FAILED = 2
const EXPORT_EVERY_MS = 2000
const EXPORT_TIMEOUT_MS = 5000
const MOST_WAITING = 2000

export class Tracer {
  /** @type {object[]} */
  #waiting = []
  /** @type {AsyncLocalStorage<Context>} */
  #current = new AsyncLocalStorage()
  #url
  #headers
  #resource
  #log
  #failed = false
  #timer

  /**
   * @param {{endpoint: string, headers: Record<string, string>, instance: string, log: import('./log.js').Logger}} options
   */
  constructor({ endpoint, headers, instance, log }) {
    this.#url = `${endpoint.replace(/\/+$/, '')}/v1/traces`
    this.#headers = headers
    this.#resource = { attributes: attributesOf({ 'service.name': 'baileys-sidecar', 'service.instance.id': instance }) }
    this.#log = log
    this.#timer = setInterval(() => this.flush(), EXPORT_EVERY_MS)
    this.#timer.unref()
  }

  /**
   * The work for a call that came in, if its caller is traced.
   * @template T
   * @param {string} name
   * @param {string | undefined} header traceparent
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  async served(name, header, work) {
    const [, traceId, parent] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$/.exec(header ?? '') ?? []
    if (!traceId) return await work()
    const span = this.#begin(name, SERVER, traceId, parent)
    try {
      const done = await this.#current.run(span.context, work)
      span.end()
      return done
    } catch (error) {
      span.end({ failed: String(/** @type {any} */ (error)?.code ?? 'error') })
      throw error
    }
  }

  /**
   * A call that the work of a traced one leads to; null for others.
   * @param {string} name
   * @returns {Span | null}
   */
  call(name) {
    const current = this.#current.getStore()
    // What a call has started and left behind, such as a connection, is no part of it any more.
    return current && !current.ended ? this.#begin(name, CLIENT, current.traceId, current.spanId) : null
  }

  async flush() {
    const spans = this.#waiting
    this.#waiting = []
    if (spans.length === 0) return
    const body = JSON.stringify({ resourceSpans: [{ resource: this.#resource, scopeSpans: [{ scope: { name: 'baileys-server' }, spans }] }] })
    try {
      const signal = AbortSignal.timeout(EXPORT_TIMEOUT_MS)
      const answer = await fetch(this.#url, { method: 'POST', headers: { 'content-type': 'application/json', ...this.#headers }, body, signal })
      if (!answer.ok) throw new Error(`The collector answers ${answer.status}.`)
      this.#failed = false
    } catch (error) {
      if (!this.#failed) this.#log.warn(safeError(error), 'traces_not_sent')
      this.#failed = true
    }
  }

  async close() {
    clearInterval(this.#timer)
    await this.flush()
  }

  /** @param {string} name @param {number} kind @param {string} traceId @param {string} parentSpanId @returns {Span} */
  #begin(name, kind, traceId, parentSpanId) {
    const spanId = randomBytes(8).toString('hex')
    const startTimeUnixNano = nanoseconds()
    const context = { traceId, spanId, ended: false }
    return {
      context,
      header: `00-${traceId}-${spanId}-01`,
      end: (attributes = {}) => {
        context.ended = true
        if (this.#waiting.length >= MOST_WAITING) return
        const status = 'failed' in attributes ? { code: FAILED } : {}
        this.#waiting.push({
          traceId, spanId, parentSpanId, name, kind, startTimeUnixNano, endTimeUnixNano: nanoseconds(), attributes: attributesOf(attributes), status
        })
      }
    }
  }
}

const nanoseconds = () => `${BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000))}000`

/** @param {Record<string, string | number>} attributes */
const attributesOf = attributes => Object.entries(attributes).map(([key, value]) => ({
  key, value: typeof value === 'number' ? { intValue: value } : { stringValue: value }
}))
