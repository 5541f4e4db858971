/**
 * Why a phone could not be linked. Programs and the pairing page decide by the code; the sentences for people, in their
 * languages and with what to do next, are the orchestrator's (orchestrator/domain/pairing_failure.py).
 *
 * Which of them end the pairing, and which only this attempt, is in disconnect-policy.js.
 *
 * @typedef {'timed_out' | 'connection_lost' | 'refused_by_phone' | 'secret_rotated' | 'code_not_supported' | 'code_refused'
 *   | 'code_rate_limited' | 'too_many_devices' | 'client_outdated' | 'banned' | 'multi_device_off' | 'passkey_required'
 *   | 'not_stored' | 'unconfirmed'} PairingFailureCode
 */

/** What the end of a pairing attempt's socket carries; the message is for the log. */
export class PairingFailed extends Error {
  /** @param {PairingFailureCode} code @param {string} message @param {{cause?: unknown}} [options] */
  constructor(code, message, options) {
    super(message, options)
    this.code = code
  }
}
