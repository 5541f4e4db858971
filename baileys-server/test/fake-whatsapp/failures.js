/** Scripted failures: what goes wrong, for whom, and how often. */
import { ControlError } from './control-error.js'

/** What each kind does, and when one of its `times` is used up. */
export const FAILURE_KINDS = /** @type {const} */ ({
  refuse_connection: 'the next connection is dropped before the handshake (every client; takes no phone)',
  refuse_login: 'the next login is answered with `failure reason=<reason>`, and `expire` when given',
  stream_error_at_login: 'the next login is answered with `stream:error code=<code>` instead of success',
  silence: 'the socket stays open but nothing is answered or delivered (one use per connection)',
  deaf: 'pings and queries are answered, messages and receipts go neither way (one use per connection)',
  drop_receipts: 'a receipt of the companion is lost; the message stays in its mailbox (one use per receipt)',
  garble_to_companion: 'a message to the companion is corrupted (one use per message)',
  garble_from_companion: 'a message from the companion is corrupted before a simulated phone gets it (one use per copy)',
  refuse_registration: 'the next companion that asks for QR codes is answered with `failure reason=<reason>` (takes no phone)',
  hold_at_scan: 'the next scan or code stops before pair-success is sent, until the companion goes',
  hold_at_pair_success: 'the next scan or code stops after pair-success was sent: the answer to it counts for nothing',
  hold_at_signature: 'the next scan or code stops when the companion is linked, before its stream is ended with 515',
  drop_at_scan: 'the next scan or code loses the connection before pair-success is sent',
  drop_at_pair_success: 'the next scan or code loses the connection right after pair-success was sent',
  drop_at_signature: 'the next scan or code loses the connection when the companion is linked, instead of a 515',
  refresh_after_scan: 'the next scan is answered with companion_reg_refresh: the secret that was scanned is worth nothing',
  refresh_after_code: 'companion_reg_refresh after the next code was taken, when both sides have derived the secret already',
  code_rate_limited: 'the next request for a pairing code is refused with 429 (phone: whom the code is for)',
  code_taken_back: 'the next code that is entered is taken back: `refresh_code`',
  code_refused: 'the companion\'s half of the next code is refused with <code>, and <text>',
  drop_acks: 'a message of the companion goes its way, and the ack for it is lost (one use per message)',
  refuse_message: 'a message of the companion is answered with an ack that has `error=<code>`, and goes nowhere (one use per message)',
  refuse_query: 'the next query is answered with an error of code 429',
  ignore_query: 'the next query is never answered',
  code_without_key: 'the next pairing by code gets a notification without the wrapped primary key',
  pair_bad_secret: 'the next pair-success is signed with a wrong ADV secret',
  passkey: 'the next scan or code is answered with `passkey_prologue_request`, then silence',
})

/** @typedef {keyof typeof FAILURE_KINDS} FailureKind */

/**
 * @typedef {object} Failure
 * @property {number} id
 * @property {FailureKind} kind
 * @property {string | null} phone null = everybody
 * @property {number | null} times uses left; null = until cleared
 * @property {number} used
 * @property {number} [reason] refuse_login
 * @property {number} [expire] refuse_login, seconds
 * @property {number} [code] stream_error_at_login, code_refused, refuse_message
 * @property {string} [text] code_refused
 */

export class Failures {
  constructor() {
    /** @type {Failure[]} */
    this.active = []
    this.nextId = 1
  }

  /**
   * @param {{kind: string, phone?: string | null, times?: number | null, reason?: number, expire?: number,
   *   code?: number, text?: string}} script
   * @returns {Failure}
   */
  add({ kind, phone = null, times = 1, ...parameters }) {
    if (!(kind in FAILURE_KINDS)) throw new ControlError(400, 'unknown_failure', `no failure kind ${kind}`)
    if (times !== null && !(Number.isInteger(times) && times > 0)) {
      throw new ControlError(400, 'bad_times', 'times is a positive number, or null for until cleared')
    }
    const failure = { ...parameters, id: this.nextId++, kind: /** @type {FailureKind} */ (kind), phone, times, used: 0 }
    this.active.push(failure)
    return failure
  }

  /**
   * Uses up one occasion of a failure.
   *
   * @param {FailureKind} kind
   * @param {string | undefined} phone
   * @returns {Failure | undefined}
   */
  take(kind, phone) {
    if (!this.active.length) return undefined
    const found = this.active.find(each => each.kind === kind && (each.phone === null || each.phone === phone))
    if (!found) return undefined
    found.used++
    if (found.times !== null && --found.times === 0) this.active = this.active.filter(each => each !== found)
    return found
  }

  /**
   * @param {{id?: number, phone?: string}} which everything when empty
   * @returns {Failure[]} the cleared ones
   */
  clear({ id, phone } = {}) {
    const matches = (/** @type {Failure} */ each) => (!id || each.id === id) && (!phone || each.phone === phone)
    const cleared = this.active.filter(matches)
    this.active = this.active.filter(each => !matches(each))
    return cleared
  }
}
