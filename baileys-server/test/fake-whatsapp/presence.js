/** Presence and chat states: what a companion says, and what it is told of users that it asked about. */
import { ControlError } from './control-error.js'
import { firstChild, isGroup, node, nowSeconds } from './stanza.js'

/** @typedef {import('./device.js').Device} Device */
/** @typedef {import('./user.js').User} User */
/** @typedef {import('./world.js').World} World */
/** @typedef {import('./stanza.js').BinaryNode} BinaryNode */

const CHAT_STATES = ['composing', 'paused', 'recording']

/**
 * @param {World} world
 * @param {Device} device
 * @param {BinaryNode} stanza
 */
export function receivePresence(world, device, { attrs }) {
  const { phone } = device.user
  if (attrs.type !== 'subscribe') return world.seen.note('presence', phone, { presence: attrs.type ?? 'available', name: attrs.name })
  const user = world.registry.userOf(attrs.to)
  world.seen.note('subscribed', phone, { to: attrs.to })
  if (user) device.subscriptions.set(user, attrs.to)
}

/**
 * @param {World} world
 * @param {Device} device
 * @param {BinaryNode} stanza
 */
export function receiveChatState(world, device, stanza) {
  const state = firstChild(stanza)
  const shown = state?.attrs.media === 'audio' ? 'recording' : state?.tag
  world.seen.note('chat_state', device.user.phone, { to: stanza.attrs.to, state: shown })
}

/**
 * What a user does, to a companion: presence only if it asked about this user.
 *
 * @param {World} world
 * @param {{from: User, to: User, state: string, group?: string}} order
 */
export function showPresence(world, { from, to, state, group }) {
  let told = 0
  for (const device of to.companions.values()) {
    const from_ = group ?? device.subscriptions.get(from)
    if (!from_) continue
    device.connection?.send(CHAT_STATES.includes(state) ? chatState(from_, from, state) : presence(from_, state))
    told++
  }
  if (told === 0) throw new ControlError(409, 'not_subscribed', 'no companion asked about this user')
  return { told }
}

/** @param {string} from @param {User} user @param {string} state */
function chatState(from, user, state) {
  const attrs = state === 'recording' ? { media: 'audio' } : {}
  const participant = isGroup(from) ? user.lid : undefined
  return node('chatstate', { from, participant }, [node(state === 'recording' ? 'composing' : state, attrs)])
}

/** @param {string} from @param {string} state */
function presence(from, state) {
  return node('presence', { from, ...(state === 'unavailable' ? { type: 'unavailable', last: nowSeconds() } : {}) })
}
