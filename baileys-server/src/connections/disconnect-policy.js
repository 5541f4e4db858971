import { PROXY_FAILED } from '../proxy/tunnel.js'

/**
 * What to do after a connection ended: a pure function of what is known, one row per reason (ARCHITECTURE, section 6).
 *
 * @typedef {object} Disconnect
 * @property {number | null} statusCode Baileys' DisconnectReason or the reason of WhatsApp's failure
 * @property {string} message Baileys' sentence
 * @property {string | null} conflictType of a stream error's conflict: `device_removed`, `replaced`, ...
 * @property {import('./pairing-failure.js').PairingFailureCode | null} pairingFailure that the pairing driver ended the socket for
 * @property {boolean} paired whether the account is signed in
 * @property {boolean} neverLoggedIn whether it was signed in and has never been online since
 * @property {number} pairingRetries attempts of this pairing that a failure with a name ended, before this one
 * @property {number} pairingMs since this pairing began
 * @property {number} attempt connections in a row that didn't open, before this one
 * @property {number | null} millisecondsSinceRestartRequired since the last 515; null: never
 * @property {number} consecutiveUnauthorized doubtful refusals since the session was last open, before this one
 * @property {boolean | 'unknown'} leaseHeld
 * @property {boolean} retriedReplaced whether this session was replaced and tried again already
 * @property {boolean} newerVersion whether a newer version of WhatsApp Web is known than the one that was announced
 * @property {number | null} banExpiresAt milliseconds since 1970 UTC
 * @property {number} now milliseconds since 1970 UTC
 * @property {number} random from 0 up to 1
 *
 * @typedef {'reconnect' | 'stop_pairing' | 'stop' | 'conflict' | 'quarantine' | 'wait' | 'pause'} Action
 *
 * @typedef {object} Decision
 * @property {Action} action
 * @property {number} delayMs
 * @property {string} reason a plain sentence for people
 * @property {boolean} [doubtful] a refusal that counts: the next one in a row is a proof
 * @property {boolean} [replaced] the one retry after a replacement
 * @property {import('./pairing-failure.js').PairingFailureCode} [failure] why the phone could not be linked: for good with
 *   `stop_pairing`, in this attempt otherwise
 * @property {string} [proxy] what is wrong with the session's own proxy
 *
 * @typedef {import('./pairing-failure.js').PairingFailureCode} PairingFailureCode
 */

const FIRST_BACK_OFF_MS = 1000
const LAST_BACK_OFF_MS = 60_000
const FIRST_OUTDATED_DELAY_MS = 30_000
const LAST_OUTDATED_DELAY_MS = 600_000
const UNKNOWN_BAN_MS = 3_600_000
/** WhatsApp may shorten a ban, and timers end at 24 days: then the account is tried again. */
const LAST_BAN_MS = 86_400_000
/** The end of JavaScript's time. */
const LAST_DATE = 8.64e15
/** A login refused this soon after a 515 is WhatsApp not being ready yet, not a logout. */
const RESTART_GRACE_MS = 30_000

/** A person has gone by then, or nothing will ever come of it. */
const PAIRING_LIMIT_MS = 600_000
const PAIRING_RETRIES = 5

/** What a fresh QR code helps against. The sentences go on with what is done. @type {Partial<Record<PairingFailureCode, string>>} */
const RETRIED = {
  secret_rotated: 'WhatsApp took the QR code back while it was being scanned',
  code_not_supported: 'This phone answers pairing codes in a way that is not supported; the QR code works',
  code_refused: 'WhatsApp refused the pairing code',
  code_rate_limited: 'WhatsApp was asked for too many pairing codes; the QR code works'
}

/** @type {Record<PairingFailureCode, string>} */
const ENDED = {
  timed_out: 'No phone was linked in time.',
  connection_lost: 'The connection to WhatsApp could not be kept long enough to link a phone.',
  refused_by_phone: 'The phone, or WhatsApp, refused the link.',
  secret_rotated: 'WhatsApp took the QR code back again and again.',
  code_not_supported: 'This phone answers pairing codes in a way that is not supported; use the QR code.',
  code_refused: 'WhatsApp refused the pairing code again and again.',
  code_rate_limited: 'WhatsApp was asked for too many pairing codes; use the QR code, or wait some hours.',
  too_many_devices: 'The account has as many linked devices as WhatsApp allows.',
  client_outdated: 'WhatsApp calls this client outdated, and no newer version is known.',
  banned: 'WhatsApp has blocked the account.',
  multi_device_off: 'Multi-device is off for this account; switch it on on the phone.',
  passkey_required: 'WhatsApp asks for a passkey when this account is linked, which only its own app can show.',
  not_stored: 'The linked account could not be stored, so WhatsApp was not told; the phone says that it failed.',
  unconfirmed: 'The link was interrupted before WhatsApp confirmed it.'
}
/** Baileys' own sentence, which the pairing driver leaves no room for unless it steps aside. */
const QR_REFS_ENDED = 'QR refs attempts ended'
/** Baileys puts the error of a websocket that doesn't open into its own sentence. */
const PROXY_SENTENCE = new RegExp(`\\((${PROXY_FAILED} .*)\\)$`)
/** The sentence of Baileys' own `logout`. */
export const INTENTIONAL_LOGOUT = 'Intentional Logout'

/**
 * @param {Disconnect} disconnect
 * @returns {Decision}
 */
export function decideAfterDisconnect(disconnect) {
  const { statusCode, message, conflictType, paired } = disconnect
  if (!paired || disconnect.pairingFailure) return afterPairingAttempt(disconnect)
  if (message === INTENTIONAL_LOGOUT) return quarantine('The device was unlinked on request.')
  if (conflictType === 'device_removed') return quarantine('The device was removed on the phone.')
  switch (statusCode) {
    case 515: return { action: 'reconnect', delayMs: 0, reason: 'WhatsApp asked for a restart of the connection.' }
    case 440: return afterReplacement(disconnect)
    case 401: case 403: case 406: return afterRefusal(disconnect)
    case 402: return afterBan(disconnect)
    case 405: return afterOutdated(disconnect)
    case 411: return { action: 'pause', delayMs: 0, reason: 'Multi-device is off for this account; switch it on on the phone.' }
    default: return afterProxy(disconnect) ?? backOff(disconnect, statusCode === 408 || statusCode === 428
      ? 'The connection to WhatsApp was lost'
      : `WhatsApp ended the connection (${statusCode ?? 'no code'})`)
  }
}

/**
 * No account is linked: whatever happened, nothing is set aside, and it doesn't go on for ever.
 * @param {Disconnect} disconnect
 * @returns {Decision}
 */
function afterPairingAttempt(disconnect) {
  const failure = pairingFailureOf(disconnect)
  const { pairingMs, pairingRetries, newerVersion } = disconnect
  const inTime = pairingMs < PAIRING_LIMIT_MS
  if (failure === null && inTime) return afterProxy(disconnect) ?? backOff(disconnect, `WhatsApp ended the pairing attempt (${disconnect.statusCode ?? 'no code'})`)
  if (failure === null) return endOfPairing('connection_lost')
  if (failure === 'client_outdated' && newerVersion && inTime) return afterOutdated(disconnect)
  const retried = RETRIED[failure]
  if (retried === undefined || pairingRetries >= PAIRING_RETRIES) return endOfPairing(failure)
  return { action: 'reconnect', delayMs: 0, failure, reason: `${retried}; starting again.` }
}

/** @param {Disconnect} disconnect @returns {PairingFailureCode | null} null: the connection was lost, which says nothing */
function pairingFailureOf({ pairingFailure, conflictType, statusCode, message }) {
  if (pairingFailure) return pairingFailure
  if (message.includes(QR_REFS_ENDED)) return 'timed_out'
  if (conflictType === 'device_removed') return 'refused_by_phone'
  switch (statusCode) {
    case 401: return 'refused_by_phone'
    case 402: case 403: case 406: return 'banned'
    case 405: return 'client_outdated'
    case 411: return 'multi_device_off'
    default: return null
  }
}

/** @param {PairingFailureCode} failure @returns {Decision} */
function endOfPairing(failure) {
  return { action: 'stop_pairing', delayMs: 0, failure, reason: ENDED[failure] }
}

/**
 * The session's own proxy stands in the way; its owner must look.
 * @param {Disconnect} disconnect
 * @returns {Decision | null} null: it doesn't
 */
function afterProxy(disconnect) {
  const proxy = PROXY_SENTENCE.exec(disconnect.message)?.[1]
  return proxy ? { ...backOff(disconnect, proxy), proxy: `${proxy}.` } : null
}

/** @param {Disconnect} disconnect @returns {Decision} */
function afterReplacement({ leaseHeld, retriedReplaced, random }) {
  if (leaseHeld === false) return { action: 'stop', delayMs: 0, reason: 'Another replica runs this session now.' }
  if (retriedReplaced) {
    return { action: 'conflict', delayMs: 0, reason: 'Another program uses this linked device; it replaced the connection twice.' }
  }
  return { action: 'reconnect', delayMs: 2000 + Math.floor(random * 3000), replaced: true,
    reason: 'Another connection replaced this one; trying once more.' }
}

/** @param {Disconnect} disconnect @returns {Decision} */
function afterRefusal(disconnect) {
  const { statusCode, neverLoggedIn, millisecondsSinceRestartRequired, consecutiveUnauthorized } = disconnect
  const justRestarted = millisecondsSinceRestartRequired !== null && millisecondsSinceRestartRequired < RESTART_GRACE_MS
  if (justRestarted) return backOff(disconnect, `WhatsApp refused the login (${statusCode}) right after a restart`)
  if (consecutiveUnauthorized > 0 && neverLoggedIn) return endOfPairing('unconfirmed')
  if (consecutiveUnauthorized > 0) return quarantine(`WhatsApp refused the login again (${statusCode}): the device is unlinked.`)
  return { ...backOff(disconnect, `WhatsApp refused the login (${statusCode})`), doubtful: true }
}

/** @param {Disconnect} disconnect @returns {Decision} */
function afterBan({ banExpiresAt, now }) {
  if (banExpiresAt === null || Math.abs(banExpiresAt) > LAST_DATE) {
    return { action: 'wait', delayMs: UNKNOWN_BAN_MS, reason: 'WhatsApp blocked the account for a time that it did not tell.' }
  }
  const until = new Date(banExpiresAt).toISOString()
  const delayMs = Math.min(LAST_BAN_MS, Math.max(FIRST_BACK_OFF_MS, banExpiresAt - now))
  return { action: 'wait', delayMs, reason: `WhatsApp blocked the account until ${until}.` }
}

/** @param {Disconnect} disconnect @returns {Decision} */
function afterOutdated({ attempt, newerVersion, random }) {
  if (newerVersion) {
    return { action: 'reconnect', delayMs: 1000 + Math.floor(random * 2000), reason: 'WhatsApp calls this client outdated; connecting as its newest version.' }
  }
  const delayMs = Math.min(LAST_OUTDATED_DELAY_MS, FIRST_OUTDATED_DELAY_MS * 2 ** Math.min(attempt, 10))
  return { action: 'reconnect', delayMs, reason: `WhatsApp calls this client outdated; trying again in ${delayMs / 1000} s.` }
}

/** @param {Disconnect} disconnect @param {string} what @returns {Decision} */
function backOff({ attempt, random }, what) {
  const delayMs = backOffMs(attempt, random)
  return { action: 'reconnect', delayMs, reason: `${what}; reconnecting in ${(delayMs / 1000).toFixed(1)} s.` }
}

/**
 * Exponential with full jitter, without a limit on the number of attempts.
 * @param {number} attempt
 * @param {number} random
 */
export function backOffMs(attempt, random) {
  const ceiling = Math.min(LAST_BACK_OFF_MS, FIRST_BACK_OFF_MS * 2 ** Math.min(attempt, 10))
  return Math.max(1, Math.floor(random * ceiling)) // a pause that can be seen, however short
}

/** @param {string} reason @returns {Decision} */
function quarantine(reason) {
  return { action: 'quarantine', delayMs: 0, reason }
}
