/**
 * libsignal 6.0.0 tries a message on every Signal session that it has with a sender. A failed try leaves that session
 * advanced by a ratchet step that never happened, and when another session then succeeds, all of them are stored. So a
 * message that was under way while a new session was opened (every restart opens one with the next send) ruins the new
 * session: neither side can read the other until a round of retry receipts has replaced it.
 *
 * A session that didn't decrypt a message must stay what it was.
 *
 * @typedef {{_sessions: Record<string, {indexInfo?: {used?: number}}>}} SessionRecord as libsignal serializes it
 */

/**
 * @param {SessionRecord | undefined} before
 * @param {SessionRecord | undefined} after a successful decryption
 * @returns {SessionRecord | null} what should be stored instead of `after`; null when nothing was damaged
 */
export function withoutDamage(before, after) {
  if (!before?._sessions || !after?._sessions) return null
  const changed = Object.keys(after._sessions).filter(name => before._sessions[name] && !isSame(before._sessions[name], after._sessions[name]))
  // libsignal notes the time of use on the session that succeeded, and only there.
  const used = changed.filter(name => before._sessions[name].indexInfo?.used !== after._sessions[name].indexInfo?.used)
  if (changed.length < 2 || used.length !== 1) return null
  const damaged = changed.filter(name => name !== used[0])
  const restored = Object.fromEntries(damaged.map(name => [name, before._sessions[name]]))
  return { ...after, _sessions: { ...after._sessions, ...restored } }
}

/** @param {object} left @param {object} right */
const isSame = (left, right) => JSON.stringify(left) === JSON.stringify(right)
