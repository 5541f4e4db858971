/** Channels (newsletters): queries in JSON, told apart by numbers, and posts, which everybody may read. */
import { randomBytes } from 'node:crypto'
import { proto, QueryIds } from '@whiskeysockets/baileys'
import { ControlError } from './control-error.js'
import { messageKey } from './mailbox.js'
import { bytes, iqResult, node, nowSeconds } from './stanza.js'

/** @typedef {import('./device.js').Device} Device */
/** @typedef {import('./user.js').User} User */
/** @typedef {import('./world.js').World} World */
/** @typedef {import('./stanza.js').BinaryNode} BinaryNode */

/**
 * @typedef {object} Channel
 * @property {string} id
 * @property {string} name
 * @property {string} description
 * @property {string} invite
 * @property {User} owner
 * @property {Set<User>} followers
 * @property {Set<User>} muted
 * @property {string} createdAt seconds
 */

/** Query -> where its answer is, and what it does. @type {Record<string, [path: string, act: (world: World, user: User, variables: any) => unknown]>} */
const QUERIES = {
  [QueryIds.CREATE]: ['xwa2_newsletter_create', (world, user, { input }) => described(world.registry.createChannel(user, input.name, input.description ?? ''), user)],
  [QueryIds.METADATA]: ['xwa2_newsletter', (world, user, { input }) => {
    const found = world.registry.channels.find(each => [each.id, each.invite].includes(input.key))
    return found ? described(found, user) : null
  }],
  [QueryIds.UPDATE_METADATA]: ['xwa2_newsletter_update', (world, user, { newsletter_id: id, updates }) => {
    const channel = owned(world, user, id)
    channel.name = updates.name ?? channel.name
    channel.description = updates.description ?? channel.description
    return described(channel, user)
  }],
  [QueryIds.FOLLOW]: ['xwa2_newsletter_join_v2', change((channel, user) => channel.followers.add(user))],
  [QueryIds.UNFOLLOW]: ['xwa2_newsletter_leave_v2', change((channel, user) => channel.followers.delete(user))],
  [QueryIds.MUTE]: ['xwa2_newsletter_mute_v2', change((channel, user) => channel.muted.add(user))],
  [QueryIds.UNMUTE]: ['xwa2_newsletter_unmute_v2', change((channel, user) => channel.muted.delete(user))],
  [QueryIds.DELETE]: ['xwa2_newsletter_delete_v2', (world, user, { newsletter_id: id }) => {
    const channel = owned(world, user, id)
    world.registry.channels = world.registry.channels.filter(each => each !== channel)
    return { id }
  }],
}

/**
 * @param {World} world
 * @param {Device} device
 * @param {BinaryNode} iq
 */
export function answerMex(world, device, iq) {
  const query = QUERIES[/** @type {BinaryNode[]} */ (iq.content)[0].attrs.query_id]
  if (!query) return undefined
  const [path, act] = query
  const { variables } = JSON.parse(String(bytes(iq, 'query')))
  return iqResult(iq, [node('result', {}, Buffer.from(JSON.stringify(outcome(world, device, path, act, variables))))])
}

/** @param {World} world @param {Device} device @param {string} path @param {(world: World, user: User, variables: any) => unknown} act @param {any} variables */
function outcome(world, device, path, act, variables) {
  try {
    const data = act(world, device.user, variables)
    world.seen.note('channel', device.user.phone, { query: path, channel: variables.newsletter_id ?? null })
    return { data: { [path]: data } }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return { errors: [{ message: error.message, extensions: { error_code: error.code } }] }
  }
}

/**
 * A post of a companion: what it says for each follower's phone.
 *
 * @param {World} world
 * @param {Device} sender
 * @param {BinaryNode} stanza
 */
export async function receivePost(world, sender, stanza) {
  const { id, to } = stanza.attrs
  const channel = owned(world, sender.user, to)
  const content = proto.Message.decode(/** @type {Buffer} */ (bytes(stanza, 'plaintext')))
  const media = await world.media.see(content)
  if (media && 'error' in media) world.violations.count('media_broken', { id, ...media })
  const seen = { text: content.conversation || content.extendedTextMessage?.text || null, content, media, shown: ++world.ledger.shown }
  for (const follower of channel.followers) {
    const key = `out ${sender.user.phone} ${id} ${follower.phone}`
    const fields = { id, from: sender.jid, to: follower.pn, chat: to, account: sender.user.phone, own_phone: follower === sender.user }
    const known = world.ledger.find(key)
    if (known) world.ledger.update(known, { duplicates: known.duplicates + 1 })
    else world.ledger.open(key, { ...fields, ...seen, direction: 'out', status: 'decrypted' })
  }
}

/**
 * A post of the channel's owner on its phone, to the companions of the followers.
 *
 * @param {World} world
 * @param {User} from
 * @param {string} id of the channel
 * @param {proto.IMessage} content
 * @returns {string} the message id
 */
export function postFromPhone(world, from, id, content) {
  const channel = world.registry.channels.find(each => each.id === id)
  if (channel?.owner !== from) throw new ControlError(403, 'not_the_owner', `the channel ${id} is not of this user`)
  const messageId = `3EB0${randomBytes(9).toString('hex').toUpperCase()}`
  const attrs = { id: messageId, from: id, server_id: String(world.ledger.seq + 100), t: nowSeconds(), type: 'text' }
  const stanza = node('message', attrs, [node('plaintext', {}, Buffer.from(proto.Message.encode(/** @type {any} */ (content)).finish()))])
  for (const device of [...channel.followers].flatMap(user => [...user.companions.values()])) {
    const fields = { id: messageId, from: id, to: device.jid, chat: id, text: content.conversation ?? null, account: device.user.phone }
    const record = world.ledger.open(`in ${device.jid} ${messageId}`, { ...fields, direction: 'in', status: 'queued', tries: 1 })
    device.mailbox.put(messageKey(messageId), stanza, { onSent: () => world.ledger.update(record, { status: 'sent' }) })
  }
  return messageId
}

/** @param {World} world @param {User} user @param {string} id */
export function followFromPhone(world, user, id) {
  existing(world, id).followers.add(user)
}

class Refusal extends Error {
  /** @param {number} code @param {string} message */
  constructor(code, message) {
    super(message)
    this.code = code
  }
}

/** @param {(channel: Channel, user: User) => void} act */
function change(act) {
  return (/** @type {World} */ world, /** @type {User} */ user, /** @type {any} */ { newsletter_id: id }) => {
    act(existing(world, id), user)
    return { id }
  }
}

/** @param {World} world @param {string} id */
function existing(world, id) {
  const found = world.registry.channels.find(each => each.id === id)
  if (!found) throw new Refusal(404, 'Not Found')
  return found
}

/** @param {World} world @param {User} user @param {string} id */
function owned(world, user, id) {
  const channel = existing(world, id)
  if (channel.owner !== user) throw new Refusal(403, 'Not Authorized')
  return channel
}

/** @param {Channel} channel @param {User} user */
function described(channel, user) {
  const role = channel.owner === user ? 'OWNER' : channel.followers.has(user) ? 'SUBSCRIBER' : 'GUEST'
  return {
    id: channel.id,
    state: { type: 'ACTIVE' },
    thread_metadata: {
      creation_time: channel.createdAt, name: { text: channel.name }, description: { text: channel.description }, invite: channel.invite,
      subscribers_count: String(channel.followers.size), verification: 'UNVERIFIED', picture: { id: '', direct_path: '' },
    },
    viewer_metadata: { mute: channel.muted.has(user) ? 'ON' : 'OFF', role },
  }
}
