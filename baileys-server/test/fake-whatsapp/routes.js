/** Which part of the server answers a stanza. */
import { receiveCall } from './calls.js'
import { relayMessage } from './from-companion.js'
import { answerIq } from './iq.js'
import { receiveRegistrationAck } from './pairing.js'
import { receiveChatState, receivePresence } from './presence.js'
import { receiveAck, receiveReceipt } from './receipts.js'

/** @typedef {import('./connection.js').Connection} Connection */
/** @typedef {import('./world.js').World} World */
/** @typedef {import('./stanza.js').BinaryNode} BinaryNode */

/**
 * @param {World} world
 * @param {Connection} connection
 * @param {BinaryNode} stanza
 */
export async function route(world, connection, stanza) {
  if (stanza.tag === 'iq') return answerIq(world, connection, stanza)
  const { device, registration } = connection
  if (registration && stanza.tag === 'ack') return receiveRegistrationAck(registration, stanza)
  if (!device || connection.deaf) return
  if (stanza.tag === 'message') await relayMessage(world, connection, device, stanza)
  else if (stanza.tag === 'receipt') receiveReceipt(world, connection, device, stanza)
  else if (stanza.tag === 'ack') receiveAck(world, device, stanza)
  else if (stanza.tag === 'presence') receivePresence(world, device, stanza)
  else if (stanza.tag === 'chatstate') receiveChatState(world, device, stanza)
  else if (stanza.tag === 'call') receiveCall(world, connection, device, stanza)
}
