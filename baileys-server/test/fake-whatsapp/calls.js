/** Calls: a user rings an account; a companion may reject. */
import { randomBytes } from 'node:crypto'
import { firstChild, node, nowSeconds } from './stanza.js'

/** @typedef {import('./connection.js').Connection} Connection */
/** @typedef {import('./device.js').Device} Device */
/** @typedef {import('./user.js').User} User */
/** @typedef {import('./world.js').World} World */
/** @typedef {import('./stanza.js').BinaryNode} BinaryNode */

/**
 * @param {World} world
 * @param {{from: User, to: User, video: boolean}} order
 */
export function ring(world, { from, to, video }) {
  const callId = randomBytes(16).toString('hex').toUpperCase()
  const offer = node('offer', { 'call-id': callId, 'call-creator': from.lid, caller_pn: from.pn }, video ? [node('video')] : [node('audio')])
  for (const device of to.companions.values()) {
    device.connection?.send(node('call', { from: from.lid, id: world.stanzaId(), t: nowSeconds() }, [offer]))
  }
  return { call_id: callId }
}

/**
 * @param {World} world
 * @param {Connection} connection
 * @param {Device} device
 * @param {BinaryNode} stanza
 */
export function receiveCall(world, connection, device, stanza) {
  const act = firstChild(stanza)
  if (act?.tag === 'reject') world.seen.note('call_rejected', device.user.phone, { call_id: act.attrs['call-id'], to: stanza.attrs.to })
  connection.send(node('ack', { class: 'call', type: act?.tag, id: stanza.attrs.id, from: stanza.attrs.to }))
}
