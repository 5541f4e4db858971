/**
 * App state: what an account's devices tell one another about its chats, contacts and labels, in encrypted patches that the
 * server only puts in order. The phone reads the companion's, and writes some of its own.
 */
import { randomBytes } from 'node:crypto'
import { decodeSyncdMutations, encodeSyncdPatch, newLTHashState, proto } from '@whiskeysockets/baileys'
import { notificationKey } from './mailbox.js'
import { notification } from './pairing.js'
import { child, children, iqResult, node } from './stanza.js'

/** @typedef {import('./device.js').Device} Device */
/** @typedef {import('./user.js').User} User */
/** @typedef {import('./world.js').World} World */
/** @typedef {import('./stanza.js').BinaryNode} BinaryNode */

const KEY_BYTES = 32
const KEY_ID_BYTES = 6

/** One account's app state: the key that its phone gave to its companions, and each collection's patches in order. */
export class AppState {
  constructor() {
    this.keyId = randomBytes(KEY_ID_BYTES)
    this.keyData = randomBytes(KEY_BYTES)
    /** @type {Map<string, {patches: Buffer[], state: any}>} */
    this.collections = new Map()
  }

  /** @param {string} name */
  collection(name) {
    const known = this.collections.get(name) ?? { patches: [], state: newLTHashState() }
    this.collections.set(name, known)
    return known
  }

  /** For Baileys' codec. */
  key = async () => /** @type {any} */ ({ keyData: this.keyData })
}

/**
 * @param {World} world
 * @param {Device} device
 * @param {BinaryNode} iq
 */
export async function answerAppState(world, device, iq) {
  const asked = children(child(iq, 'sync'), 'collection')
  const answers = []
  for (const each of asked) answers.push(await answerCollection(world, device, each))
  return iqResult(iq, [node('sync', {}, answers)])
}

/**
 * @param {World} world
 * @param {Device} device
 * @param {BinaryNode} asked
 */
async function answerCollection(world, device, asked) {
  const { name, version = '0' } = asked.attrs
  const collection = device.user.appState.collection(name)
  const content = child(asked, 'patch')?.content
  if (content) {
    if (Number(version) !== collection.patches.length) return node('collection', { name, version, type: 'error' }, [node('error', { code: '409' })])
    await take(world, device, name, Buffer.from(/** @type {Uint8Array} */ (content)))
    return node('collection', { name, version: String(collection.patches.length) })
  }
  const missing = collection.patches.slice(Number(version)).map(patch => node('patch', {}, patch))
  return node('collection', { name, version: String(Number(version)) }, missing.length ? [node('patches', {}, missing)] : undefined)
}

/**
 * The phone reads a companion's patch: every MAC must be right.
 *
 * @param {World} world
 * @param {Device} device
 * @param {string} name
 * @param {Buffer} bytes
 */
async function take(world, device, name, bytes) {
  const { appState, phone } = device.user
  const collection = appState.collection(name)
  const patch = proto.SyncdPatch.decode(bytes)
  let read = 0
  const known = await decodeSyncdMutations(patch.mutations, collection.state, appState.key, ({ syncAction, index }) => {
    const { timestamp: _, ...value } = syncAction.value?.toJSON() ?? {}
    const removed = patch.mutations[read++].operation === proto.SyncdMutation.SyncdOperation.REMOVE
    world.seen.note('app_state', phone, { collection: name, index, value, ...(removed ? { removed } : {}) })
    if (index[0] === 'setting_pushName') world.seen.note('name', phone, { name: value.pushNameSetting?.name })
  }, true)
  if (read !== patch.mutations.length) throw new Error('a patch of app state that the phone cannot read')
  append(collection, patch, known)
  tell(world, device.user, name, device)
}

/**
 * The phone changes something itself, and its companions hear of it.
 *
 * @param {World} world
 * @param {User} user
 * @param {{collection: string, index: string[], value: Record<string, unknown>, version?: number}} order
 */
export async function changeAppState(world, user, { collection: name, index, value, version = 2 }) {
  const collection = user.appState.collection(name)
  const action = { type: name, index, syncAction: { ...value, timestamp: Date.now() }, apiVersion: version, operation: proto.SyncdMutation.SyncdOperation.SET }
  const { patch, state } = await encodeSyncdPatch(/** @type {any} */ (action), user.appState.keyId.toString('base64'), { ...collection.state, version: collection.patches.length }, user.appState.key)
  append(collection, /** @type {any} */ (patch), state)
  tell(world, user, name)
}

/** @param {{patches: Buffer[], state: any}} collection @param {proto.ISyncdPatch} patch @param {any} state */
function append(collection, patch, state) {
  const version = { version: collection.patches.length + 1 }
  collection.patches.push(Buffer.from(proto.SyncdPatch.encode({ ...patch, version }).finish()))
  collection.state = { ...state, version: version.version }
}

/** @param {World} world @param {User} user @param {string} name @param {Device} [writer] */
function tell(world, user, name, writer) {
  for (const device of user.companions.values()) {
    if (device === writer) continue
    const news = notification(world, 'server_sync', [node('collection', { name, version: String(user.appState.collection(name).patches.length) })])
    device.mailbox.put(notificationKey(news.attrs.id), news)
  }
}
