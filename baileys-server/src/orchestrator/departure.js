import { safeError } from '../log.js'

/**
 * Tells the orchestrator, while this process ends, that it does and which sessions are closed: their leases are free for
 * another replica from then on, however long the others take. One call at a time; what closes meanwhile goes into the next.
 */
export class Departure {
  /** @type {number[]} */
  #closed = []
  /** @type {Promise<void> | null} */
  #telling = null
  #client
  #instance
  #delivered
  #log

  /**
   * @param {object} parts
   * @param {import('./client.js').OrchestratorClient} parts.client
   * @param {string} parts.instance
   * @param {() => Promise<unknown>} parts.delivered when the events so far have arrived: without its lease a session's are dropped
   * @param {import('../log.js').Logger} parts.log
   */
  constructor({ client, instance, delivered, log }) {
    this.#client = client
    this.#instance = instance
    this.#delivered = delivered
    this.#log = log
  }

  begin() {
    this.#telling ??= this.#tell()
  }

  /** @param {number} sessionRef */
  closed(sessionRef) {
    this.#closed.push(sessionRef)
    this.#telling ??= this.#tell()
  }

  /** Returns when everything that was closed by now is told, or could not be. */
  async told() {
    while (this.#telling) await this.#telling
  }

  async #tell() {
    // One turn of the event loop, so that what closes in the same moment travels together.
    await new Promise(resolve => setImmediate(resolve))
    const closed = this.#closed.splice(0)
    if (closed.length > 0) await this.#delivered()
    try {
      await this.#client.call('/internal/v1/sidecar/departing', { instance: this.#instance, closed }, { retries: 0 })
    } catch (error) {
      this.#log.warn(safeError(error), 'departure_not_heard') // the goodbye frees them
    }
    this.#telling = this.#closed.length > 0 ? this.#tell() : null
  }
}
