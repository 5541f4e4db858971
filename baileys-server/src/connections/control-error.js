/**
 * Why a control call can't be done now; `code` is the one of docs/internal-api.md. The control API knows its status.
 *
 * @typedef {'session_not_open' | 'already_paired' | 'not_pairing' | 'pairing_code_refused' | 'pairing_code_rate_limited' | 'send_failed' | 'message_refused' | 'stale_epoch' | 'session_not_running'
 *   | 'draining' | 'shutting_down' | 'undrained' | 'invalid_request' | 'not_found' | 'not_synced' | 'whatsapp_refused' | 'whatsapp_no_answer'
 *   | 'not_on_whatsapp' | 'message_not_found' | 'message_not_forwardable' | 'media_missing' | 'media_not_found' | 'media_expired'
 *   | 'media_host_unreachable'} ControlErrorCode
 */
export class ControlError extends Error {
  /**
   * @param {ControlErrorCode} code
   * @param {string} message
   * @param {{cause?: unknown, whatsappCode?: number}} [options] the code by which WhatsApp refused it
   */
  constructor(code, message, options) {
    super(message, options)
    this.name = 'ControlError'
    this.code = code
    this.whatsappCode = options?.whatsappCode
  }
}
