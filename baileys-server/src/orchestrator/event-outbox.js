import { RequestRefused } from './errors.js'
import { safeError } from '../log.js'
import { sleep, within } from '../clock.js'

/**
 * @typedef {object} SidecarEvent
 * @property {number} session_ref
 * @property {number} epoch
 * @property {string} type
 * @property {number} at milliseconds since 1970 UTC
 * @property {Record<string, unknown>} data
 */

const CAPACITY = 10_000
const EVENTS_PER_CALL = 200
const FIRST_RETRY_MS = 500
const LAST_RETRY_MS = 5000

/**
 * Events on their way to the orchestrator: in order, retried until delivered, bounded. Only the newest
 * connection.state of a session is worth waiting for; when the box is full the oldest message events go first, because
 * states, codes and repairs are few and decide what happens next.
 */
export class EventOutbox {
  /** @type {SidecarEvent[]} */
  #waiting = []
  /** @type {Promise<void> | null} */
  #delivering = null
  #stopping = new AbortController()
  #dropped = 0
  #client
  #instance
  #clock
  #log
  #capacity

  /**
   * @param {{client: import('./client.js').OrchestratorClient, instance: string, clock: import('../clock.js').Clock,
   *   log: import('../log.js').Logger, capacity?: number}} parts
   */
  constructor({ client, instance, clock, log, capacity = CAPACITY }) {
    this.#client = client
    this.#instance = instance
    this.#clock = clock
    this.#log = log
    this.#capacity = capacity
  }

  /** @param {Omit<SidecarEvent, 'at'>} event */
  add(event) {
    if (event.type === 'connection.state') this.#forgetOlderState(event.session_ref)
    if (this.#waiting.length >= this.#capacity) this.#makeRoom()
    this.#waiting.push({ ...event, at: this.#clock.now() })
    this.#delivering ??= this.#deliver().finally(() => { this.#delivering = null })
  }

  /** @returns how many events were dropped because the box was full */
  get dropped() {
    return this.#dropped
  }

  /**
   * Delivers what is left, or gives up after the time.
   * @param {number} ms
   */
  async close(ms) {
    if (this.#delivering) await within(this.#clock, ms, this.#delivering)
    this.#stopping.abort()
  }

  /** @param {number} sessionRef */
  #forgetOlderState(sessionRef) {
    this.#waiting = this.#waiting.filter(event => event.type !== 'connection.state' || event.session_ref !== sessionRef)
  }

  #makeRoom() {
    const oldestMessage = this.#waiting.findIndex(event => event.type.startsWith('message.'))
    const [dropped] = this.#waiting.splice(Math.max(oldestMessage, 0), 1)
    this.#dropped += 1
    this.#log.error({ type: dropped.type, session_ref: dropped.session_ref, dropped: this.#dropped }, 'event_dropped')
  }

  async #deliver() {
    // One turn of the event loop, so that events of the same moment travel together.
    await new Promise(resolve => setImmediate(resolve))
    let retryMs = FIRST_RETRY_MS
    while (this.#waiting.length > 0 && !this.#stopping.signal.aborted) {
      const batch = this.#waiting.splice(0, EVENTS_PER_CALL)
      try {
        await this.#post(batch)
        retryMs = FIRST_RETRY_MS
      } catch (error) {
        this.#log.warn({ events: batch.length, ...safeError(error) }, 'events_not_delivered')
        this.#putBack(batch)
        await sleep(this.#clock, retryMs, this.#stopping.signal)
        retryMs = Math.min(retryMs * 2, LAST_RETRY_MS)
      }
    }
  }

  /** @param {SidecarEvent[]} batch */
  async #post(batch) {
    try {
      await this.#client.call('/internal/v1/events', { instance: this.#instance, events: batch }, { retries: 0 })
    } catch (error) {
      if (!(error instanceof RequestRefused)) throw error
      await this.#postOneByOne(batch, error)
    }
  }

  /**
   * A refused event would be refused for ever and hold up all others.
   * @param {SidecarEvent[]} batch
   * @param {RequestRefused} refusal
   */
  async #postOneByOne(batch, refusal) {
    if (batch.length === 1) {
      this.#log.error({ type: batch[0].type, session_ref: batch[0].session_ref, ...safeError(refusal) }, 'event_refused')
      return
    }
    const unsent = [...batch]
    try {
      while (unsent.length > 0) {
        await this.#post([unsent[0]])
        unsent.shift()
      }
    } catch (error) {
      batch.splice(0, batch.length, ...unsent)
      throw error
    }
  }

  /** @param {SidecarEvent[]} batch */
  #putBack(batch) {
    const newer = new Set(this.#waiting.filter(event => event.type === 'connection.state').map(event => event.session_ref))
    const stillNews = batch.filter(event => event.type !== 'connection.state' || !newer.has(event.session_ref))
    this.#waiting.unshift(...stillNews)
  }
}
