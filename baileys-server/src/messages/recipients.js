import { isPnUser, jidDecode } from '@whiskeysockets/baileys'
import { LRUCache } from 'lru-cache'
import { ControlError } from '../connections/control-error.js'
import { safeError } from '../log.js'

/**
 * Whether a number is on WhatsApp, and under which JID: a Brazilian number can be written with or without its ninth digit,
 * and only one of them is the account. WhatsApp is asked once per number, and never about a contact that the auth state
 * knows. Absent is not failed: when WhatsApp doesn't say, the message goes out as it would without the question.
 */

const REMEMBERED_NUMBERS = 5000
const ABSENT_FOR_MS = 60_000

export class Recipients {
  /** @type {LRUCache<string, {jid: string | null}>} */
  #asked = new LRUCache({ max: REMEMBERED_NUMBERS })
  #log

  /** @param {import('../log.js').Logger} log */
  constructor(log) {
    this.#log = log
  }

  /**
   * @param {any} sock Baileys' socket
   * @param {string} jid
   * @returns {Promise<string>} rejects with `not_on_whatsapp`
   */
  async find(sock, jid) {
    if (!isPnUser(jid) || await isKnown(sock, jid)) return jid
    const known = this.#asked.get(jid) ?? await this.#ask(sock, jid)
    if (known.jid === null) throw new ControlError('not_on_whatsapp', 'This number is not on WhatsApp.')
    return known.jid
  }

  /** @param {any} sock @param {string} jid */
  async #ask(sock, jid) {
    try {
      const found = await sock.onWhatsApp(jid)
      if (!found) return { jid }
      // Baileys leaves those out that have no account.
      const answer = { jid: found[0]?.exists ? found[0].jid : null }
      this.#asked.set(jid, answer, answer.jid === null ? { ttl: ABSENT_FOR_MS } : {})
      return answer
    } catch (error) {
      this.#log.warn(safeError(error), 'number_not_checked')
      return { jid }
    }
  }
}

/**
 * Baileys writes these for everybody it has sent to.
 * @param {any} sock
 * @param {string} jid
 */
async function isKnown(sock, jid) {
  const { keys, creds } = sock.authState
  const user = jidDecode(jid)?.user ?? ''
  if (user === jidDecode(creds.me?.id)?.user) return true
  for (const type of ['device-list', 'lid-mapping']) {
    if ((await keys.get(type, [user]))[user]) return true
  }
  return false
}
