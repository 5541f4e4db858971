/**
 * libsignal 6.0.0 keeps every receiving chain of a Signal session for ever: each answer of the other side adds one, and
 * after 1,000 of them the record has 54 KB, read and written again with every message.
 *
 * A chain is closed when its successor comes; the keys of messages that are still missing are derived then. A closed
 * chain without such keys can decrypt nothing any more. All it is good for is to tell that a message is a repetition, so
 * the newest few are kept for those that WhatsApp delivers again. A repetition that is older still is refused: libsignal
 * takes its chain for a new one, its MAC doesn't match what follows from that, and the record is not stored. When another
 * Signal session of the same record reads it after all, undamaged-sessions.js puts this one back.
 *
 * @typedef {{chainKey: {key?: string}, messageKeys: Record<string, string>}} Chain
 * @typedef {{_chains: Record<string, Chain>}} Session
 * @typedef {{_sessions?: Record<string, Session>}} SessionRecord as libsignal serializes it
 */

const KEPT_SPENT_CHAINS = 8

/**
 * @param {unknown} value of key type `session`
 * @returns {unknown} the same record without what nobody can need; what isn't one is given back as it is
 */
export function tidySession(value) {
  const sessions = /** @type {SessionRecord | null | undefined} */ (value)?._sessions
  if (!sessions) return value
  const tidied = Object.entries(sessions).map(([baseKey, session]) => [baseKey, withoutSpentChains(session)])
  return { .../** @type {SessionRecord} */ (value), _sessions: Object.fromEntries(tidied) }
}

/** @param {Session} session */
function withoutSpentChains(session) {
  // In the order in which they were added: the newest last.
  const chains = Object.entries(session._chains)
  const spent = chains.filter(([, chain]) => isSpent(chain)).map(([name]) => name)
  const dropped = new Set(spent.slice(0, -KEPT_SPENT_CHAINS))
  if (dropped.size === 0) return session
  return { ...session, _chains: Object.fromEntries(chains.filter(([name]) => !dropped.has(name))) }
}

/** @param {Chain} chain */
const isSpent = ({ chainKey, messageKeys }) => chainKey.key === undefined && Object.keys(messageKeys).length === 0
