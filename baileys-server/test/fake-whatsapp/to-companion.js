/**
 * What phones write: encrypted for each companion of the recipient, and of the writer itself; kept for resends.
 */
import { randomBytes } from 'node:crypto'
import { encodeWAMessage } from '@whiskeysockets/baileys'
import { ControlError } from './control-error.js'
import { garble } from './garble.js'
import { takeBundle } from './key-queries.js'
import { messageKey } from './mailbox.js'
import { encryptedVote } from './poll-vote.js'
import { node, nowSeconds } from './stanza.js'

/** @typedef {import('./device.js').Device} Device */
/** @typedef {import('./peer.js').Bundle} Bundle */
/** @typedef {import('./user.js').SentMessage} SentMessage */
/** @typedef {import('./user.js').User} User */
/** @typedef {import('./ledger.js').Tracked} Tracked */
/** @typedef {import('./world.js').World} World */
/** @typedef {{type: string, ciphertext: Buffer}} Enc */
/** @typedef {import('@whiskeysockets/baileys').proto.IMessage} Content */

const MESSAGE_ID_BYTES = 9
const STATUS = 'status@broadcast'

/**
 * @param {World} world
 * @param {{from: User, to?: User, group?: string, status?: boolean, text: string, content?: Content}} order content: instead of
 *   the text alone; status: a status post that `to` sees
 * @returns {string} the message id
 */
export function sendFromContact(world, { from, to, group, status, text, content }) {
  const members = group ? world.registry.group(group).members : undefined
  if (members && !members.has(from)) throw new ControlError(409, 'not_a_member', 'the sender is not in the group')
  // An account's own companions get what its phone writes; a contact has none.
  const recipients = members ?? new Set(to ? [to, from] : [])
  const id = `3EB0${randomBytes(MESSAGE_ID_BYTES).toString('hex').toUpperCase()}`
  const asLid = group ? world.registry.group(group).addressing === 'lid' : from.writesAsLid
  const chat = status ? STATUS : group
  const message = { id, content: content ?? { conversation: text }, group: chat, to, asLid }
  from.sent.set(id, message)
  for (const device of [...recipients].flatMap(user => [...user.companions.values()])) {
    const record = world.ledger.open(`in ${device.jid} ${id}`, {
      id,
      direction: 'in',
      from: from.jidAs(asLid),
      to: device.jid,
      chat: chat ?? from.jidAs(asLid),
      text,
      account: device.user.phone,
      status: 'queued',
    })
    world.background(from.peer.run(() => deliver(world, from, device, message, record)))
  }
  return id
}

/**
 * A vote in a poll that this phone was sent by an account.
 *
 * @param {World} world
 * @param {{from: User, to?: User, group?: string}} order
 * @param {{poll: string, options: string[]}} vote
 * @returns {Content}
 */
export function voteContent(world, { from, group }, { poll, options }) {
  const seen = [...world.ledger.records.values()].find(record => record.id === poll && record.to === from.pn)
  const secret = seen?.content?.messageContextInfo?.messageSecret
  if (!seen || !secret) throw new ControlError(404, 'no_poll', `this phone has no poll ${poll}`)
  const asLid = group ? world.registry.group(group).addressing === 'lid' : from.writesAsLid
  const creator = world.registry.find(seen.account).jidAs(asLid)
  const vote = encryptedVote({ pollId: poll, creator, voter: from.jidAs(asLid), secret, options })
  const key = { remoteJid: group ?? creator, id: poll, fromMe: false, participant: group ? creator : undefined }
  return { pollUpdateMessage: { pollCreationMessageKey: key, vote, senderTimestampMs: Date.now() } }
}

/**
 * Answers a companion's retry receipt: a new session, and the same message again under the same id.
 *
 * @param {World} world
 * @param {User} from
 * @param {Device} device
 * @param {SentMessage} message
 * @param {Tracked} record
 * @param {Bundle | undefined} bundle from the receipt
 */
export function resend(world, from, device, message, record, bundle) {
  world.later(world.options.retryDelayMs * record.tries, () => {
    world.background(
      from.peer.run(async () => {
        await from.peer.openSession(device.address, bundle ?? takeBundle(world, device))
        // A resend in a group goes to one device, under its own session, and brings the sender key along.
        const distribution = message.group ? await from.peer.senderKeyDistribution(message.group) : undefined
        const content = { ...contentFor(from, device, message), ...shareKey(message, distribution) }
        const enc = await encryptFor(world, from, device, content)
        put(world, from, device, message, record, [enc])
      })
    )
  })
}

/**
 * @param {World} world
 * @param {User} from
 * @param {Device} device
 * @param {SentMessage} message
 * @param {Tracked} record
 */
async function deliver(world, from, device, message, record) {
  // The device may have been unlinked while this waited its turn.
  if (device.user.companions.get(device.id) !== device) return world.ledger.update(record, { status: 'nacked', nack: 'unlinked' })
  const encs = message.group
    ? await encryptForGroup(world, from, device, message)
    : [await encryptFor(world, from, device, contentFor(from, device, message))]
  put(world, from, device, message, record, encs)
}

/**
 * @param {World} world
 * @param {User} from
 * @param {Device} device
 * @param {import('@whiskeysockets/baileys').proto.IMessage} content
 * @returns {Promise<Enc>}
 */
export async function encryptFor(world, from, device, content) {
  const { peer } = from
  if (!peer.hasSession(device.address)) await peer.openSession(device.address, takeBundle(world, device))
  return peer.encrypt(device.address, encodeWAMessage(/** @type {any} */ (content)))
}

/**
 * @param {World} world
 * @param {User} from
 * @param {Device} device
 * @param {SentMessage} message
 * @returns {Promise<Enc[]>}
 */
async function encryptForGroup(world, from, device, message) {
  const group = /** @type {string} */ (message.group)
  const padded = encodeWAMessage(/** @type {any} */ (message.content))
  message.groupCiphertext ??= await from.peer.encryptGroup(group, padded)
  const { ciphertext, distribution } = message.groupCiphertext
  const holders = from.senderKeyHolders.get(group) ?? new Set()
  from.senderKeyHolders.set(group, holders)
  const skmsg = { type: 'skmsg', ciphertext }
  if (holders.has(device.jid)) return [skmsg]
  holders.add(device.jid)
  return [await encryptFor(world, from, device, shareKey(message, distribution)), skmsg]
}

/**
 * A companion of the writer gets the message wrapped, with the chat that it went to.
 *
 * @param {User} from
 * @param {Device} device
 * @param {SentMessage} message
 * @returns {import('@whiskeysockets/baileys').proto.IMessage}
 */
function contentFor(from, device, { content: message, group, to, asLid }) {
  if (group || device.user !== from) return message
  return { deviceSentMessage: { destinationJid: to?.jidAs(asLid), message } }
}

/**
 * @param {SentMessage} message
 * @param {Buffer | undefined} distribution
 */
function shareKey({ group }, distribution) {
  if (!distribution) return {}
  return { senderKeyDistributionMessage: { groupId: group, axolotlSenderKeyDistributionMessage: distribution } }
}

/**
 * @param {World} world
 * @param {User} from
 * @param {Device} device
 * @param {SentMessage} message
 * @param {Tracked} record
 * @param {Enc[]} encs
 */
function put(world, from, device, message, record, encs) {
  const spoiled = world.failures.take('garble_to_companion', device.user.phone)
  const content = encs.map(({ type, ciphertext }) =>
    node('enc', { v: '2', type }, spoiled ? garble(type, ciphertext) : ciphertext)
  )
  world.ledger.update(record, { status: 'queued', tries: record.tries + 1 })
  const onSent = () => world.ledger.update(record, { status: 'sent' })
  device.mailbox.put(messageKey(message.id), node('message', attrsOf(from, device, message), content), { onSent })
}

/**
 * @param {User} from
 * @param {Device} device
 * @param {SentMessage} message
 */
function attrsOf(from, device, { id, group, to, asLid }) {
  const common = { id, t: nowSeconds(), type: 'text', notify: from.name }
  const [author, other] = [from.jidAs(asLid), from.jidAs(!asLid)]
  const recipient = device.user === from ? to?.jidAs(asLid) : undefined
  if (!group) return { ...common, from: author, recipient, ...(asLid ? { sender_pn: other } : { sender_lid: other }) }
  const alternative = asLid ? { participant_pn: other } : { participant_lid: other }
  return { ...common, from: group, participant: author, addressing_mode: asLid ? 'lid' : 'pn', ...alternative }
}
