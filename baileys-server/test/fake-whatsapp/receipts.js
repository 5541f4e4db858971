/** What a companion says about the messages it got: receipts, retry receipts, acks and nacks. */
import { readSignedPreKey } from './key-queries.js'
import { messageKey, notificationKey, receiptKey } from './mailbox.js'
import { bytes, child, children, isGroup, isStatus, node, nowSeconds, uint } from './stanza.js'
import { resend } from './to-companion.js'

/** @typedef {import('./connection.js').Connection} Connection */
/** @typedef {import('./device.js').Device} Device */
/** @typedef {import('./peer.js').Bundle} Bundle */
/** @typedef {import('./registry.js').Target} Target */
/** @typedef {import('./ledger.js').Tracked} Tracked */
/** @typedef {import('./world.js').World} World */
/** @typedef {import('./stanza.js').BinaryNode} BinaryNode */

/**
 * @param {World} world
 * @param {Connection} connection
 * @param {Device} device
 * @param {BinaryNode} receipt
 */
export function receiveReceipt(world, connection, device, receipt) {
  const { id, to, type, participant } = receipt.attrs
  if (world.failures.take('drop_receipts', device.user.phone)) return
  connection.send(node('ack', { class: 'receipt', id, from: to, type, participant }))
  if (type === 'retry') return receiveRetry(world, device, receipt)
  const more = children(child(receipt, 'list'), 'item').map(item => item.attrs.id)
  for (const each of [id, ...more]) settle(world, device, each, type)
  if (type === 'read' || type === 'read-self') world.seen.note('read', device.user.phone, { chat: to, participant, ids: [id, ...more], type })
  const author = authorOf(world, receipt)
  if (author?.device) forward(author.device, device, receipt)
}

/**
 * @param {World} world
 * @param {Device} device
 * @param {string} id
 * @param {string | undefined} type
 */
function settle(world, device, id, type) {
  device.mailbox.takeAll(messageKey(id))
  const record = world.ledger.find(`in ${device.jid} ${id}`)
  if (record) world.ledger.update(record, { status: 'receipted', receipt: type ?? 'delivered' })
}

/**
 * @param {World} world
 * @param {Device} device
 * @param {BinaryNode} ack
 */
export function receiveAck(world, device, ack) {
  const { id, to, error } = ack.attrs
  if (ack.attrs.class === 'notification') return void device.mailbox.take(notificationKey(id))
  if (ack.attrs.class === 'receipt') return void device.mailbox.take(receiptKey(ack.attrs, to))
  if (ack.attrs.class !== 'message') return
  const record = world.ledger.find(`in ${device.jid} ${id}`)
  // A retry receipt is followed by a nack of the copy that it was about; the resend may be on its way already.
  if (error && record?.nacksExpected) return world.ledger.update(record, { nacksExpected: record.nacksExpected - 1 })
  device.mailbox.takeAll(messageKey(id))
  if (!record || record.status === 'receipted') return
  world.ledger.update(record, error ? { status: 'nacked', nack: error } : { status: 'receipted', receipt: 'ack' })
}

/**
 * @param {World} world
 * @param {Device} device
 * @param {BinaryNode} receipt
 */
function receiveRetry(world, device, receipt) {
  const { id } = receipt.attrs
  const record = world.ledger.find(`in ${device.jid} ${id}`)
  const bundle = readBundle(receipt)
  if (bundle?.preKey) noteHandedOut(world, device, bundle.preKey)
  const author = authorOf(world, receipt)
  if (!record || !author) return
  device.mailbox.take(messageKey(id))
  const givenUp = record.tries > world.options.maxTries
  world.ledger.update(record, givenUp ? { status: 'nacked', nack: 'retries' } : { status: 'retrying' })
  record.nacksExpected++
  if (givenUp) return
  if (author.device) return forward(author.device, device, receipt)
  const message = author.user.sent.get(id)
  if (message) resend(world, author.user, device, message, record, bundle)
}

/**
 * @param {World} world
 * @param {Device} device
 * @param {{keyId: number, publicKey: Buffer}} preKey
 */
function noteHandedOut(world, device, { keyId, publicKey }) {
  if (device.noteHandedOut(keyId, publicKey)) return
  world.violations.count('prekey_reused', { where: 'retry_receipt', device: device.jid, id: keyId, same_key: false })
}

/**
 * Who wrote the message that a receipt is about.
 *
 * @param {World} world
 * @param {BinaryNode} receipt
 */
function authorOf(world, { attrs }) {
  return world.registry.target(isGroup(attrs.to) || isStatus(attrs.to) ? attrs.participant : attrs.to)
}

/**
 * Passes a receipt on to the companion that wrote the message.
 *
 * @param {Device} author
 * @param {Device} reader
 * @param {BinaryNode} receipt
 */
function forward(author, reader, receipt) {
  const { id, to, type, participant } = receipt.attrs
  const asLid = (participant ?? to).endsWith('@lid')
  const from = isGroup(to) ? to : reader.jidAs(asLid)
  const attrs = { from, id, type, t: nowSeconds(), participant: isGroup(to) ? reader.jidAs(asLid) : undefined }
  author.mailbox.put(receiptKey(attrs, from), node('receipt', attrs, receipt.content))
}

/**
 * The keys inside a retry receipt; Baileys adds them from the second try on.
 *
 * @param {BinaryNode} receipt
 * @returns {Bundle | undefined}
 */
function readBundle(receipt) {
  const keys = child(receipt, 'keys')
  const identityKey = bytes(keys, 'identity')
  const signedPreKey = readSignedPreKey(keys)
  const registrationId = uint(receipt, 'registration')
  if (!identityKey || !signedPreKey || registrationId === undefined) return undefined
  const keyId = uint(child(keys, 'key'), 'id')
  const publicKey = bytes(child(keys, 'key'), 'value')
  const preKey = keyId === undefined || !publicKey ? undefined : { keyId, publicKey }
  return { registrationId, identityKey, signedPreKey, preKey }
}
