/** Pre-keys: what a companion uploads, and the bundles that others fetch. */
import { KEY_BUNDLE_TYPE } from '@whiskeysockets/baileys'
import { bigEndian, bytes, child, children, iqResult, node, uint } from './stanza.js'
import { notification } from './pairing.js'

/** @typedef {import('./device.js').Device} Device */
/** @typedef {import('./peer.js').Bundle} Bundle */
/** @typedef {import('./world.js').World} World */
/** @typedef {import('./stanza.js').BinaryNode} BinaryNode */

/**
 * @param {Device} device
 * @param {BinaryNode} iq
 */
export function countPreKeys(device, iq) {
  return iqResult(iq, [node('count', { value: String(device.preKeys.size) })])
}

/**
 * @param {World} world
 * @param {Device} device
 * @param {BinaryNode} iq
 */
export function acceptPreKeys(world, device, iq) {
  for (const key of children(child(iq, 'list'), 'key')) {
    const id = uint(key, 'id')
    const value = bytes(key, 'value')
    if (id === undefined || !value || device.offerPreKey(id, value)) continue
    const sameKey = device.handedOut.get(id)?.equals(value)
    world.violations.count('prekey_reused', { where: 'upload', device: device.jid, id, same_key: sameKey })
  }
  device.signedPreKey = readSignedPreKey(iq) ?? device.signedPreKey
  return iqResult(iq)
}

/**
 * @param {Device} device
 * @param {BinaryNode} iq
 */
export function rotateSignedPreKey(device, iq) {
  device.signedPreKey = readSignedPreKey(child(iq, 'rotate')) ?? device.signedPreKey
  return iqResult(iq)
}

/**
 * @param {BinaryNode | undefined} parent of an skey
 * @returns {Bundle['signedPreKey'] | undefined}
 */
export function readSignedPreKey(parent) {
  const skey = child(parent, 'skey')
  const keyId = uint(skey, 'id')
  const publicKey = bytes(skey, 'value')
  const signature = bytes(skey, 'signature')
  return keyId === undefined || !publicKey || !signature ? undefined : { keyId, publicKey, signature }
}

/**
 * @param {World} world
 * @param {BinaryNode} iq
 */
export function answerBundles(world, iq) {
  const users = children(child(iq, 'key'), 'user')
  return iqResult(iq, [node('list', {}, users.map(({ attrs }) => bundleOf(world, attrs.jid)))])
}

/**
 * @param {World} world
 * @param {string} jid
 */
function bundleOf(world, jid) {
  const target = world.registry.target(jid)
  if (!target) return node('user', { jid }, [node('error', { code: '404', text: 'item-not-found' })])
  const { user, device } = target
  const bundle = device ? takeBundle(world, device) : user.peer.takeBundle()
  return node('user', { jid }, [
    node('registration', {}, bigEndian(bundle.registrationId, 4)),
    ...bundleNodes(bundle),
    ...(device ? [node('device-identity', {}, device.signedIdentity)] : []),
  ])
}

/**
 * A companion's bundle; asks it for more pre-keys when they run low, as the real server does.
 *
 * @param {World} world
 * @param {Device} device
 */
export function takeBundle(world, device) {
  const bundle = device.takeBundle()
  if (device.preKeysJustRanLow()) notifyPreKeysLow(world, device, device.preKeys.size)
  return bundle
}

/**
 * @param {World} world
 * @param {Device} device
 * @param {number} count
 */
export function notifyPreKeysLow(world, device, count) {
  device.connection?.send(notification(world, 'encrypt', [node('count', { value: String(count) })]))
}

/**
 * @param {Bundle} bundle
 * @returns {BinaryNode[]}
 */
export function bundleNodes({ identityKey, signedPreKey, preKey }) {
  const { keyId, publicKey, signature } = signedPreKey
  const skey = [node('id', {}, bigEndian(keyId, 3)), node('value', {}, publicKey), node('signature', {}, signature)]
  const key = preKey && [node('id', {}, bigEndian(preKey.keyId, 3)), node('value', {}, preKey.publicKey)]
  return [
    node('type', {}, KEY_BUNDLE_TYPE),
    node('identity', {}, identityKey),
    node('skey', {}, skey),
    ...(key ? [node('key', {}, key)] : []),
  ]
}
