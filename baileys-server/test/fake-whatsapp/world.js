/** The simulated WhatsApp: everything that outlives a connection. */
import { PATIENCE } from '../support/until.js'
import { Failures } from './failures.js'
import { Ledger } from './ledger.js'
import { MediaHost } from './media-host.js'
import { Registry } from './registry.js'
import { Seen } from './seen.js'
import { Violations } from './violations.js'

/**
 * @typedef {object} Options
 * @property {number} handshakePauseMs Baileys 6.7 dies of a frame that arrives together with the handshake's end
 * @property {number} socketGraceMs how long an evicted socket may stay open, once its owner has answered, before it counts as a violation
 * @property {number} registrationTimeoutMs WhatsApp closes a socket that has not logged in
 * @property {number} retryDelayMs before a simulated phone asks for, or answers, a retry; grows with the tries
 * @property {number} maxTries how often a message is sent again
 * @property {number} undecryptableAfterMs how long a phone waits for the answer to its retry receipt
 * @property {boolean} phoneSync whether the phone sends history and an app-state key after the first login
 */

/** @type {Options} */
export const DEFAULT_OPTIONS = {
  handshakePauseMs: 30,
  socketGraceMs: 1000 * PATIENCE,
  registrationTimeoutMs: 210_000,
  retryDelayMs: 20,
  maxTries: 5,
  undecryptableAfterMs: 15_000 * PATIENCE,
  phoneSync: true,
}

export class World {
  /** @param {Partial<Options>} [options] */
  constructor(options = {}) {
    /** @type {Options} */
    this.options = { ...DEFAULT_OPTIONS, ...options }
    this.violations = new Violations()
    this.seen = new Seen()
    this.registry = new Registry(detail => this.violations.count('prekey_reused', { where: 'phone', ...detail }))
    this.ledger = new Ledger(this.options)
    this.failures = new Failures()
    this.media = new MediaHost()
    /** @type {Map<string, import('./connection.js').Connection>} QR ref -> who shows it */
    this.refs = new Map()
    /** @type {Set<import('./connection.js').Connection>} */
    this.connections = new Set()
    /** @type {Set<NodeJS.Timeout>} */
    this.timers = new Set()
    this.nextStanzaId = 1
    /** The oldest revision of WhatsApp Web that may log in; the newest as well, as `sw.js` has it. */
    this.clientRevision = 0
    /** @type {{phone: string, ms: number}[]} how long each device was without a socket before each login but its first */
    this.gaps = []
  }

  /** An id for a stanza that the server starts. */
  stanzaId() {
    return `fake-${this.nextStanzaId++}`
  }

  /**
   * @param {number} delayMs
   * @param {() => void} action dropped when the world ends first
   */
  later(delayMs, action) {
    const timer = setTimeout(() => {
      this.timers.delete(timer)
      action()
    }, delayMs)
    this.timers.add(timer)
    return timer
  }

  /** @param {NodeJS.Timeout} timer */
  cancel(timer) {
    clearTimeout(timer)
    this.timers.delete(timer)
  }

  /** @param {number} delayMs */
  sleep(delayMs) {
    return new Promise(resolve => this.later(delayMs, () => resolve(undefined)))
  }

  /**
   * Starts work that nobody waits for; a fault in it is reported, not lost.
   *
   * @param {Promise<unknown>} work
   */
  background(work) {
    work.catch(error => this.fault(error))
  }

  /**
   * Notes an error of the fake itself.
   *
   * @param {unknown} error
   */
  fault(error) {
    this.violations.count('faults', { error: String(error) })
    process.stderr.write(`fake-whatsapp: ${error instanceof Error ? error.stack : error}\n`)
  }

  end() {
    for (const timer of this.timers) clearTimeout(timer)
    for (const connection of this.connections) connection.drop()
  }
}
