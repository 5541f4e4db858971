/**
 * A message that a companion sends: acknowledged at once, then one copy per recipient device, to simulated phones and
 * to other companions.
 */
import { jidNormalizedUser } from '@whiskeysockets/baileys'
import { messageNumberOf } from './message-numbers.js'
import { messageKey } from './mailbox.js'
import { openCopy } from './peer-inbox.js'
import { receivePost } from './channels.js'
import { child, children, isChannel, isGroup, isLid, isStatus, node, nowSeconds } from './stanza.js'
import { garble } from './garble.js'

/** @typedef {import('./connection.js').Connection} Connection */
/** @typedef {import('./device.js').Device} Device */
/** @typedef {import('./registry.js').Target} Target */
/** @typedef {import('./user.js').User} User */
/** @typedef {import('./world.js').World} World */
/** @typedef {import('./stanza.js').BinaryNode} BinaryNode */

/**
 * One recipient device's share of a message.
 *
 * @typedef {object} Copy
 * @property {Device} sender
 * @property {Target} target
 * @property {string} id
 * @property {string} chat the jid the companion sent to
 * @property {boolean} asLid how sender and recipient are addressed in this chat
 * @property {Array<{type: string, ciphertext: Buffer}>} encs
 * @property {BinaryNode} stanza
 */

/**
 * @param {World} world
 * @param {Connection} connection
 * @param {Device} sender
 * @param {BinaryNode} stanza
 */
export async function relayMessage(world, connection, sender, stanza) {
  const ack = { class: 'message', id: stanza.attrs.id, from: stanza.attrs.to, t: nowSeconds(), type: stanza.attrs.type }
  const refused = world.failures.take('refuse_message', sender.user.phone)
  if (refused) return connection.send(node('ack', { ...ack, error: String(refused.code ?? 479) }))
  if (!world.failures.take('drop_acks', sender.user.phone)) connection.send(node('ack', ack))
  if (isChannel(stanza.attrs.to)) return receivePost(world, sender, stanza)
  checkGroupNumbers(world, sender, stanza)
  for (const copy of copiesOf(world, sender, stanza)) {
    checkNumbers(world, copy)
    // In a LID group Baileys doesn't recognise its own device, and sends itself a sender key.
    if (copy.target.device === sender) continue
    if (world.failures.take('garble_from_companion', sender.user.phone)) garbleCopy(copy)
    if (copy.target.device) forward(world, copy, copy.target.device)
    else openCopy(world, copy)
  }
}

/**
 * @param {World} world
 * @param {Device} sender
 * @param {BinaryNode} stanza
 * @returns {Copy[]}
 */
function copiesOf(world, sender, stanza) {
  const { to } = stanza.attrs
  const asLid = isGroup(to) ? world.registry.groups.get(to)?.addressing === 'lid' : isLid(to)
  // A resend for one device is addressed to that device; the chat is still the user's.
  const chat = jidNormalizedUser(stanza.attrs.recipient ?? to)
  /** @type {Map<string, Copy>} */
  const copies = new Map()
  const add = (/** @type {Target | undefined} */ target, /** @type {BinaryNode} */ enc) => {
    if (!target) return
    const key = `${target.user.phone} ${target.device?.id ?? 0}`
    const copy = copies.get(key) ?? { sender, target, id: stanza.attrs.id, chat, asLid, encs: [], stanza }
    copy.encs.push({ type: enc.attrs.type, ciphertext: Buffer.from(/** @type {Uint8Array} */ (enc.content)) })
    copies.set(key, copy)
  }
  for (const recipient of children(child(stanza, 'participants'), 'to')) {
    for (const enc of children(recipient, 'enc')) add(world.registry.target(recipient.attrs.jid), enc)
  }
  // Beside `participants`: a group's one ciphertext for all, or a resend for one device.
  for (const enc of children(stanza, 'enc')) {
    if (enc.attrs.type === 'skmsg') for (const target of groupDevices(world, sender, stanza)) add(target, enc)
    else add(world.registry.target(stanza.attrs.participant ?? to), enc)
  }
  return [...copies.values()]
}

/**
 * @param {World} world
 * @param {Device} sender
 * @param {BinaryNode} stanza
 * @returns {Target[]}
 */
function groupDevices(world, sender, stanza) {
  const { to } = stanza.attrs
  const readers = isStatus(to) ? statusReaders(world, stanza) : world.registry.audience(to, sender.user)
  return readers.flatMap(user => [
    { user, device: undefined },
    ...[...user.companions.values()].filter(device => device !== sender).map(device => ({ user, device })),
  ])
}

/**
 * A status post names its readers: they all get the sender key with it.
 *
 * @param {World} world
 * @param {BinaryNode} stanza
 * @returns {User[]}
 */
function statusReaders(world, stanza) {
  const targets = children(child(stanza, 'participants'), 'to').map(({ attrs }) => world.registry.target(attrs.jid))
  return [...new Set(targets.flatMap(target => target?.user ?? []))]
}

/**
 * A group ciphertext is one for all its readers, and counts once.
 *
 * @param {World} world
 * @param {Device} sender
 * @param {BinaryNode} stanza
 */
function checkGroupNumbers(world, sender, stanza) {
  const { id, to } = stanza.attrs
  for (const { attrs, content } of children(stanza, 'enc')) {
    if (attrs.type !== 'skmsg') continue
    spend(world, sender, { id, recipient: to, type: 'skmsg', ciphertext: Buffer.from(/** @type {Uint8Array} */ (content)) })
  }
}

/**
 * @param {World} world
 * @param {Copy} copy
 */
function checkNumbers(world, { sender, target, id, encs }) {
  const recipient = `${target.user.phone}:${target.device?.id ?? 0}`
  for (const enc of encs) if (enc.type !== 'skmsg') spend(world, sender, { id, recipient, ...enc })
}

/**
 * @param {World} world
 * @param {Device} sender
 * @param {{id: string, recipient: string, type: string, ciphertext: Buffer}} sent recipient is a device, or a group
 */
function spend(world, sender, { id, recipient, type, ciphertext }) {
  const used = messageNumberOf(type, ciphertext)
  const before = sender.numbers.spend(used, recipient, id)
  if (before === undefined) return
  const detail = { device: sender.jid, recipient, type, number: used.number, id, earlier_id: before }
  world.violations.count('message_number_reused', detail)
}

/** @param {Copy} copy */
function garbleCopy(copy) {
  copy.encs = copy.encs.map(enc => ({ ...enc, ciphertext: garble(enc.type, enc.ciphertext) }))
}

/**
 * Hands a copy to another companion.
 *
 * @param {World} world
 * @param {Copy} copy
 * @param {Device} recipient
 */
function forward(world, copy, recipient) {
  const { sender, id, chat, encs, stanza } = copy
  const key = `in ${recipient.jid} ${id}`
  const from = sender.jidAs(copy.asLid)
  const fields = { id, from, to: recipient.jid, chat: isGroup(chat) ? chat : sender.user.pn, account: recipient.user.phone }
  const record = world.ledger.find(key) ?? world.ledger.open(key, { ...fields, direction: 'in', status: 'queued' })
  world.ledger.update(record, { status: 'queued', tries: record.tries + 1 })
  const content = encs.map(enc => node('enc', { v: '2', type: enc.type }, enc.ciphertext))
  const identity = child(stanza, 'device-identity')
  const relayed = node('message', forwardedAttrs(copy, recipient), identity ? [...content, identity] : content)
  recipient.mailbox.put(messageKey(id), relayed, { onSent: () => world.ledger.update(record, { status: 'sent' }) })
}

/**
 * @param {Copy} copy
 * @param {Device} recipient
 */
function forwardedAttrs({ sender, id, chat, asLid, stanza }, recipient) {
  const common = { id, t: nowSeconds(), type: stanza.attrs.type, notify: sender.user.name }
  const other = sender.jidAs(!asLid)
  if (isGroup(chat)) {
    const alternative = asLid ? { participant_pn: other } : { participant_lid: other }
    const addressing_mode = asLid ? 'lid' : 'pn'
    return { ...common, from: chat, participant: sender.jidAs(asLid), addressing_mode, ...alternative }
  }
  // The sender's own other companion learns whom the message went to.
  const recipientAttrs = sender.user === recipient.user ? { recipient: chat } : {}
  return { ...common, from: sender.jidAs(asLid), ...recipientAttrs, ...(asLid ? { sender_pn: other } : { sender_lid: other }) }
}
