import { DEFAULT_CONNECTION_CONFIG } from '@whiskeysockets/baileys'
import { safeError } from '../log.js'

/** @typedef {[number, number, number]} Version */

const FETCH_MS = 10_000
/** Every session is refused in the same minute; one look is enough for all. */
const LOOK_AGAIN_MS = 60_000

/**
 * The version of WhatsApp Web that sockets announce: Baileys' own until WhatsApp calls it outdated, then the one that
 * web.whatsapp.com serves at that moment, which names its revision in `sw.js`.
 */
export class WebVersion {
  /** @type {Version} */
  #current = /** @type {Version} */ (DEFAULT_CONNECTION_CONFIG.version)
  #lookedAt = -Infinity
  /** @type {Promise<void> | null} */
  #looking = null
  #url
  #clock
  #log

  /** @param {{webSocketUrl: string, clock: import('../clock.js').Clock, log: import('../log.js').Logger}} parts */
  constructor({ webSocketUrl, clock, log }) {
    this.#url = new URL('/sw.js', webSocketUrl.replace(/^ws/, 'http'))
    this.#clock = clock
    this.#log = log
  }

  get current() {
    return this.#current
  }

  /**
   * Looks for a newer version than one that was refused. Never rejects: without an answer there is none.
   * @param {Version} refused
   */
  async newerThan(refused) {
    if (this.#current[2] <= refused[2]) {
      this.#looking ??= this.#look().finally(() => { this.#looking = null })
      await this.#looking
    }
    return this.#current[2] > refused[2]
  }

  async #look() {
    if (this.#clock.uptime() - this.#lookedAt < LOOK_AGAIN_MS) return
    this.#lookedAt = this.#clock.uptime()
    try {
      // Without these two, WhatsApp answers what it takes for a robot with an error.
      const headers = { 'sec-fetch-site': 'none', 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/131.0.0.0 Safari/537.36' }
      const response = await fetch(this.#url, { headers, signal: AbortSignal.timeout(FETCH_MS) })
      const revision = Number(/\\?"client_revision\\?":\s*(\d+)/.exec(await response.text())?.[1])
      if (!response.ok || !Number.isSafeInteger(revision)) throw new Error(`No revision in the answer with HTTP ${response.status}.`)
      if (revision > this.#current[2]) this.#current = [2, 3000, revision]
      this.#log.info({ version: this.#current.join('.') }, 'web_version_looked_up')
    } catch (error) {
      this.#log.warn(safeError(error), 'web_version_unknown')
    }
  }
}
