/** Channels (newsletters): queries in JSON, told apart by numbers. */
import { QueryIds } from '@whiskeysockets/baileys'
import { bytes, iqResult, node } from './stanza.js'

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
