import { Connection } from './connection.js'
import { ControlError } from './control-error.js'
import { currentSession } from './last-words.js'

/** @typedef {import('./connection.js').Session} Session */

/**
 * The sessions that run here, by session_ref. At most one connection of a session has a socket: a successor starts after
 * its predecessor has closed. One that came to its end by itself stays listed until the orchestrator has seen that and
 * removes or replaces it: were it gone at once, the orchestrator could not tell it from one that never started.
 */
export class Registry {
  /** @type {Map<number, Connection>} */
  #connections = new Map()
  #shuttingDown = false
  #makeParts

  /** @param {(session: Session) => import('./connection.js').Parts} makeParts */
  constructor(makeParts) {
    this.#makeParts = makeParts
  }

  get size() {
    return this.#connections.size
  }

  describe() {
    return [...this.#connections.values()].map(connection => connection.describe())
  }

  /**
   * Same epoch: nothing happens. A higher one replaces the connection.
   * @param {Session} session
   */
  start(session) {
    this.#refuseWhenShuttingDown()
    const running = this.#connections.get(session.sessionRef)
    if (running && running.session.epoch === session.epoch) return
    if (running && running.session.epoch > session.epoch) {
      throw new ControlError('stale_epoch', `Session ${session.sessionRef} runs here with epoch ${running.session.epoch}.`)
    }
    const connection = new Connection(session, this.#makeParts(session))
    this.#connections.set(session.sessionRef, connection)
    const predecessor = running?.stop('A newer epoch replaces this connection.')
    currentSession.run(session.sessionRef, () => connection.start(predecessor))
  }

  /** @param {number} sessionRef @param {string} [reason] */
  async stop(sessionRef, reason) {
    const connection = this.#connections.get(sessionRef)
    await connection?.stop(reason)
    if (this.#connections.get(sessionRef) === connection) this.#connections.delete(sessionRef)
  }

  /** @param {number} sessionRef */
  get(sessionRef) {
    const connection = this.#connections.get(sessionRef)
    if (!connection) throw new ControlError('session_not_running', `Session ${sessionRef} does not run here.`)
    return connection
  }

  /** For sends: refused while the process shuts down. @param {number} sessionRef */
  getForSend(sessionRef) {
    this.#refuseWhenShuttingDown()
    return this.get(sessionRef)
  }

  /** Closes every connection. @param {(sessionRef: number) => void} [onClosed] called for each as soon as that is done */
  async shutDown(onClosed) {
    this.#shuttingDown = true
    for (const connection of this.#connections.values()) connection.refuseSends()
    await Promise.allSettled([...this.#connections.keys()].map(async sessionRef => {
      await this.stop(sessionRef, 'The service stops or moves.')
      onClosed?.(sessionRef)
    }))
  }

  #refuseWhenShuttingDown() {
    if (this.#shuttingDown) throw new ControlError('shutting_down', 'The sidecar is stopping; send again when it is back.')
  }
}
