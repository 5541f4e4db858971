import { ControlError } from '../connections/control-error.js'

/** Baileys' sentence when app state is to be changed before the phone sent its key, seconds after a pairing. */
const NO_APP_STATE_KEY = 'App state key not present!'
/** Of Baileys' own codes: the connection ended, or it was not there. What WhatsApp did is unknown then. */
const CONNECTION_CLOSED = 428

/**
 * What an operation's failure means. WhatsApp's refusals have a code of HTTP's kind: as `data` of an error in a query's
 * answer, as a status code elsewhere.
 * @param {any} error
 * @returns {ControlError}
 */
export function failureOf(error) {
  if (error instanceof ControlError) return error
  const status = error?.output?.statusCode
  const message = String(error?.message ?? error)
  // A query that the socket's end meets fails with the number of the websocket's close code.
  if (status === CONNECTION_CLOSED || message === CLOSED || typeof error === 'number') return noAnswer('The connection closed before WhatsApp answered.', error)
  if (message === NO_APP_STATE_KEY) return new ControlError('not_synced', 'The phone has not given this device the key to its chats and contacts yet; try again in some seconds.', { cause: error })
  const refusal = typeof error?.data === 'number' ? error.data : status
  if (Number.isInteger(refusal)) return refused(refusal, message, error)
  throw error
}

/** The sentence of the error by which a connection that ended has its pending queries fail (socket-attempt.js). */
export const CLOSED = 'The connection is closed.'

/** @param {number} code WhatsApp's @param {string} words @param {unknown} [cause] */
export const refused = (code, words, cause) =>
  new ControlError('whatsapp_refused', `WhatsApp refused it: ${words} (${code}).`, { cause, whatsappCode: code })

/** @param {string} detail @param {unknown} [cause] */
export const noAnswer = (detail, cause) => new ControlError('whatsapp_no_answer', `${detail} It may have done it; look before you repeat it.`, { cause })
