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
const CAPACITY_CHARACTERS = 32 * 1024 * 1024
const EVENTS_PER_CALL = 200
/** A body is at most 32 MiB, and a character up to six bytes of JSON. */
const CHARACTERS_PER_CALL = 4 * 1024 * 1024
/** States of which people are told by an alert: a newer state doesn't make up for that. */
const ALERTING = new Set(['paused', 'conflict', 'quarantined'])
const FIRST_RETRY_MS = 500
const LAST_RETRY_MS = 5000

/**
 * Events on their way to the orchestrator: in order, retried until delivered, bounded. Only the newest connection.state of
 * a session is worth waiting for, and those that people are told of; when the box is full the oldest message events go
 * first, because states, codes and repairs are few and decide what happens next.
 */
export class EventOutbox {
  /** @type {SidecarEvent[]} */
  #waiting = []
  #characters = 0
  /** @type {Promise<void> | null} */
  #delivering = null
  #stopping = new AbortController()
  #dropped = 0
  #client
  #instance
  #clock
  #log
  #capacity
  #capacityCharacters

  /**
   * @param {{client: import('./client.js').OrchestratorClient, instance: string, clock: import('../clock.js').Clock,
   *   log: import('../log.js').Logger, capacity?: number, capacityCharacters?: number}} parts
   */
  constructor({ client, instance, clock, log, capacity = CAPACITY, capacityCharacters = CAPACITY_CHARACTERS }) {
    this.#client = client
    this.#instance = instance
    this.#clock = clock
    this.#log = log
    this.#capacity = capacity
    this.#capacityCharacters = capacityCharacters
  }

  /** @param {Omit<SidecarEvent, 'at'>} event */
  add(event) {
    if (event.type === 'connection.state') this.#forgetOlderState(event.session_ref)
    const characters = sizeOf(event)
    while (this.#waiting.length > 0 && (this.#waiting.length >= this.#capacity || this.#characters + characters > this.#capacityCharacters)) {
      this.#makeRoom()
    }
    this.#waiting.push({ ...event, at: this.#clock.now() })
    this.#characters += characters
    this.#delivering ??= this.#deliver().finally(() => { this.#delivering = null })
  }

  /** @returns how many events were dropped because the box was full */
  get dropped() {
    return this.#dropped
  }

  /** Resolves when everything that was added by now has arrived, or never will. */
  async delivered() {
    while (this.#delivering) await this.#delivering
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
    const older = this.#waiting.findIndex(event => isPassing(event) && event.session_ref === sessionRef)
    if (older >= 0) this.#take(older, 1)
  }

  #makeRoom() {
    const oldestMessage = this.#waiting.findIndex(event => event.type.startsWith('message.'))
    const [dropped] = this.#take(Math.max(oldestMessage, 0), 1)
    this.#dropped += 1
    this.#log.error({ type: dropped.type, session_ref: dropped.session_ref, dropped: this.#dropped }, 'event_dropped')
  }

  /** @param {number} start @param {number} count */
  #take(start, count) {
    const taken = this.#waiting.splice(start, count)
    for (const event of taken) this.#characters -= sizeOf(event)
    return taken
  }

  /** What goes into the next call. */
  #takeBatch() {
    let count = 0
    for (let characters = 0; count < Math.min(EVENTS_PER_CALL, this.#waiting.length); count++) {
      characters += sizeOf(this.#waiting[count])
      if (count > 0 && characters > CHARACTERS_PER_CALL) break
    }
    return this.#take(0, count)
  }

  async #deliver() {
    // One turn of the event loop, so that events of the same moment travel together.
    await new Promise(resolve => setImmediate(resolve))
    let retryMs = FIRST_RETRY_MS
    while (this.#waiting.length > 0 && !this.#stopping.signal.aborted) {
      const batch = this.#takeBatch()
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
    const stillNews = batch.filter(event => !isPassing(event) || !newer.has(event.session_ref))
    this.#waiting.unshift(...stillNews)
    for (const event of stillNews) this.#characters += sizeOf(event)
  }
}

/** Whether it is worth nothing once a newer state is known. @param {Omit<SidecarEvent, 'at'>} event */
function isPassing({ type, data }) {
  return type === 'connection.state' && !ALERTING.has(/** @type {string} */ (data.state))
}

/**
 * Texts are all that is long in an event.
 * @param {{data: Record<string, unknown>}} event
 */
function sizeOf({ data }) {
  return Object.values(data).reduce((/** @type {number} */ sum, value) => sum + (typeof value === 'string' ? value.length : 8), 200)
}
