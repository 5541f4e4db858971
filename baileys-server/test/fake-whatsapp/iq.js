/** Answers to queries. What no table row knows gets an empty result, which Baileys takes for "nothing there". */
import { answerGroupQuery } from './group-queries.js'
import { acceptPreKeys, answerBundles, countPreKeys, rotateSignedPreKey } from './key-queries.js'
import { receiveCodeStage } from './pairing-code.js'
import { sendPhoneSync } from './phone-sync.js'
import { child, children, conflict, firstChild, iqResult, node, SERVER_JID, streamError } from './stanza.js'
import { unlink } from './unlink.js'
import { answerUsync } from './usync.js'

/** @typedef {import('./connection.js').Connection} Connection */
/** @typedef {import('./device.js').Device} Device */
/** @typedef {import('./world.js').World} World */
/** @typedef {import('./stanza.js').BinaryNode} BinaryNode */

const PRIVACY_CATEGORIES = ['readreceipts', 'last', 'status', 'profile', 'groupadd', 'online', 'calladd', 'messages']

/**
 * xmlns and first child -> answer, for a device that is logged in.
 *
 * @type {Record<string, (world: World, connection: Connection, device: Device, iq: BinaryNode) => void>}
 */
const ANSWERS = {
  'encrypt count': (_world, connection, device, iq) => connection.send(countPreKeys(device, iq)),
  'encrypt registration': (world, connection, device, iq) => connection.send(acceptPreKeys(world, device, iq)),
  'encrypt rotate': (_world, connection, device, iq) => connection.send(rotateSignedPreKey(device, iq)),
  'encrypt digest': (_world, connection, _device, iq) => connection.send(iqResult(iq, [node('digest')])),
  'encrypt key': (world, connection, _device, iq) => connection.send(answerBundles(world, iq)),
  'passive active': goActive,
  'usync usync': (world, connection, _device, iq) => connection.send(answerUsync(world, iq)),
  'abt props': (_world, connection, _device, iq) => connection.send(answerProps(iq)),
  'w props': (_world, connection, _device, iq) => connection.send(answerProps(iq)),
  'privacy privacy': (_world, connection, _device, iq) => connection.send(answerPrivacy(iq)),
  'w:m media_conn': (world, connection, _device, iq) => connection.send(answerMediaConn(world, iq)),
  'blocklist ': (_world, connection, _device, iq) => connection.send(iqResult(iq, [node('list', {}, [])])),
  'w:sync:app:state sync': (_world, connection, _device, iq) => connection.send(answerAppState(iq)),
  'md remove-companion-device': logOut,
}

/**
 * @param {World} world
 * @param {Connection} connection
 * @param {BinaryNode} iq
 */
export function answerIq(world, connection, iq) {
  const about = firstChild(iq)?.tag ?? ''
  if (iq.attrs.type === 'result' || iq.attrs.type === 'error') return connection.registration?.onSigned?.(iq)
  if (iq.attrs.xmlns === 'md' && about === 'link_code_companion_reg') return receiveCodeStage(connection, iq)
  const { device } = connection
  const answer = ANSWERS[`${iq.attrs.xmlns} ${about}`]
  if (device && answer) return answer(world, connection, device, iq)
  if (device && iq.attrs.xmlns === 'w:g2') return connection.send(answerGroupQuery(world, device, iq))
  connection.send(iqResult(iq))
}

/**
 * From here on the companion takes messages: the backlog goes out, closed by its count, then the phone's first sync.
 *
 * @param {World} world
 * @param {Connection} connection
 * @param {Device} device
 * @param {BinaryNode} iq
 */
function goActive(world, connection, device, iq) {
  connection.send(iqResult(iq))
  const announce = (/** @type {number} */ count) =>
    connection.send(node('ib', { from: SERVER_JID }, [node('offline', { count: String(count) })]))
  if (connection.deaf) announce(0)
  else device.mailbox.open(connection, announce)
  sendPhoneSync(world, device)
}

/** @param {BinaryNode} iq */
function answerProps(iq) {
  return iqResult(iq, [node('props', { protocol: '1', hash: 'fake-props' }, [])])
}

/** @param {BinaryNode} iq */
function answerPrivacy(iq) {
  const categories = PRIVACY_CATEGORIES.map(name => node('category', { name, value: 'all' }))
  return iqResult(iq, [node('privacy', {}, categories)])
}

/** @param {World} world @param {BinaryNode} iq */
function answerMediaConn(world, iq) {
  const attrs = { auth: world.media.auth, ttl: '300', auth_ttl: '21600', max_buckets: '12' }
  return iqResult(iq, [node('media_conn', attrs, [node('host', { hostname: world.media.hostname, type: 'primary' })])])
}

/** @param {BinaryNode} iq */
function answerAppState(iq) {
  const asked = children(child(iq, 'sync'), 'collection')
  const empty = asked.map(({ attrs }) => node('collection', { name: attrs.name, version: attrs.version ?? '0' }))
  return iqResult(iq, [node('sync', {}, empty)])
}

/**
 * @param {World} world
 * @param {Connection} connection
 * @param {Device} device
 * @param {BinaryNode} iq
 */
function logOut(world, connection, device, iq) {
  unlink(world, device)
  connection.send(iqResult(iq))
  connection.sendAndClose(streamError(401, conflict('device_removed')))
}
