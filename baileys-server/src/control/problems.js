import { ControlError } from '../connections/control-error.js'
import { safeError } from '../log.js'
import { BadRequest } from './request.js'

/** The one table from codes to statuses and titles. @type {Record<string, [status: number, title: string]>} */
const PROBLEMS = {
  malformed_json: [400, 'Malformed JSON'],
  unauthorized: [401, 'Unauthorized'],
  not_found: [404, 'Not found'],
  session_not_running: [404, 'Session not running'],
  message_not_found: [404, 'Message not found'],
  media_not_found: [404, 'Media not found'],
  method_not_allowed: [405, 'Method not allowed'],
  stale_epoch: [409, 'Stale epoch'],
  session_not_open: [409, 'Session not open'],
  not_synced: [409, 'Not synced'],
  already_paired: [409, 'Already paired'],
  not_pairing: [409, 'Not pairing'],
  pairing_code_refused: [409, 'Pairing code refused'],
  media_expired: [410, 'Media expired'],
  body_too_large: [413, 'Body too large'],
  invalid_request: [422, 'Invalid request'],
  not_on_whatsapp: [422, 'Not on WhatsApp'],
  message_not_forwardable: [422, 'Message not forwardable'],
  media_missing: [422, 'Media missing'],
  whatsapp_refused: [422, 'WhatsApp refused'],
  pairing_code_rate_limited: [429, 'Too many pairing codes'],
  internal_error: [500, 'Internal error'],
  send_failed: [502, 'Send failed'],
  message_refused: [502, 'Message refused'],
  media_host_unreachable: [502, 'Media host unreachable'],
  draining: [503, 'Draining'],
  shutting_down: [503, 'Shutting down'],
  undrained: [503, 'Undrained'],
  whatsapp_no_answer: [504, 'WhatsApp did not answer']
}

/**
 * @param {any} error
 * @param {import('../log.js').Logger} log
 * @returns {import('./request.js').JsonAnswer} a problem document
 */
export function problem(error, log) {
  const known = error instanceof BadRequest || error instanceof ControlError
  if (!known) log.error(safeError(error), 'control_call_failed')
  const code = known ? error.code : 'internal_error'
  const [status, title] = PROBLEMS[code]
  const body = { type: 'about:blank', title, status, code, detail: known ? error.message : 'See the log of the sidecar.' }
  const whatsappCode = error instanceof ControlError ? error.whatsappCode : undefined
  return { status, body: whatsappCode === undefined ? body : { ...body, whatsapp_code: whatsappCode } }
}
