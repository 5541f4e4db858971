/**
 * Two mistakes of Baileys 7.0.0-rc14 in the sender keys of groups, put right in what is stored:
 *
 * - The keys of skipped messages are written in a notation of bytes that Baileys doesn't read back, so every group
 *   message that arrives out of order fails ("Expected Buffer instead of: Object") and must be asked for again. After a
 *   restart, when new messages overtake those that waited, that is the rule rather than the exception.
 * - A sender skips one number with each message of its own and keeps the skipped key, which nobody can ever need: the
 *   record grows to 447 KB and is written again with every group message.
 */

/**
 * @param {unknown} value of key type `sender-key`: bytes of JSON
 * @returns {unknown} the same record; what isn't one is given back as it is
 */
export function tidySenderKey(value) {
  if (!(value instanceof Uint8Array)) return value
  try {
    const states = JSON.parse(Buffer.from(value).toString('utf8'), reviveBytes)
    for (const state of states) if (isOwn(state)) state.senderMessageKeys = []
    return Buffer.from(JSON.stringify(states, writeBytes))
  } catch {
    return value
  }
}

/** Only our own states have the private half of the signing key. @param {any} state */
const isOwn = state => state.senderSigningKey.private.length > 0

/** @param {string} _key @param {any} value */
function reviveBytes(_key, value) {
  if (value?.type !== 'Buffer') return value
  return Array.isArray(value.data) ? Buffer.from(value.data) : Buffer.from(value.data, 'base64')
}

/** As Baileys' BufferJSON reads it. @param {string} _key @param {any} value after Buffer's own toJSON */
function writeBytes(_key, value) {
  return value?.type === 'Buffer' ? { type: 'Buffer', data: Buffer.from(value.data).toString('base64') } : value
}
