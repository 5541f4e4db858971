/** Answers to queries. One that no table row knows is a violation: it would be one for the real server, too, or is missing here. */
import { answerAppState } from './app-state.js'
import { answerMex } from './channels.js'
import { answerGroupQuery } from './group-queries.js'
import { acceptPreKeys, answerBundles, countPreKeys, rotateSignedPreKey } from './key-queries.js'
import { receiveCodeStage } from './pairing-code.js'
import { sendPhoneSync } from './phone-sync.js'
import { answerPicture, blockList, changeBlockList, setAbout } from './profile-queries.js'
import { conflict, firstChild, iqError, iqResult, node, SERVER_JID, streamError } from './stanza.js'
import { unlink } from './unlink.js'
import { answerUsync } from './usync.js'

/** @typedef {import('./connection.js').Connection} Connection */
/** @typedef {import('./device.js').Device} Device */
/** @typedef {import('./world.js').World} World */
/** @typedef {import('./stanza.js').BinaryNode} BinaryNode */

/** Baileys sends it by itself, whenever; no test means it. */
const KEEP_ALIVE = 'w:p ping'
/** What is answered with an empty result. */
const NOTHING_TO_SAY = new Set([KEEP_ALIVE, 'privacy tokens', 'urn:xmpp:whatsapp:dirty clean', 'passive passive'])

const PRIVACY_CATEGORIES = ['readreceipts', 'last', 'status', 'profile', 'groupadd', 'online', 'calladd', 'messages']

/**
 * xmlns and first child -> answer, for a device that is logged in.
 *
 * @type {Record<string, (world: World, connection: Connection, device: Device, iq: BinaryNode) => void | Promise<void>>}
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
  'blocklist ': (_world, connection, device, iq) => connection.send(blockList(iq, device)),
  'blocklist item': (world, connection, device, iq) => connection.send(changeBlockList(world, device, iq)),
  'w:profile:picture picture': (world, connection, device, iq) => connection.send(answerPicture(world, device, iq)),
  'w:profile:picture ': (world, connection, device, iq) => connection.send(answerPicture(world, device, iq)),
  'status status': (world, connection, device, iq) => connection.send(setAbout(world, device, iq)),
  'w:sync:app:state sync': async (world, connection, device, iq) => connection.send(await answerAppState(world, device, iq)),
  'md remove-companion-device': logOut,
}

/**
 * @param {World} world
 * @param {Connection} connection
 * @param {BinaryNode} iq
 */
export async function answerIq(world, connection, iq) {
  const about = firstChild(iq)?.tag ?? ''
  if (iq.attrs.type === 'result' || iq.attrs.type === 'error') return connection.registration?.onSigned?.(iq)
  if (iq.attrs.xmlns === 'md' && about === 'link_code_companion_reg') return receiveCodeStage(connection, iq)
  const { device } = connection
  const query = `${iq.attrs.xmlns} ${about}`
  const answer = ANSWERS[query]
  const fails = (/** @type {string} */ kind) => device && query !== KEEP_ALIVE && world.failures.take(kind, device.user.phone)
  if (fails('refuse_query')) return connection.send(iqError(iq, 429, 'rate-overlimit'))
  if (fails('ignore_query')) return
  if (device && answer) return await answer(world, connection, device, iq)
  const told = device && (iq.attrs.xmlns === 'w:g2' ? answerGroupQuery(world, device, iq) : iq.attrs.xmlns === 'w:mex' ? answerMex(world, device, iq) : undefined)
  if (!told && !NOTHING_TO_SAY.has(query)) world.violations.count('unknown_queries', { query, type: iq.attrs.type })
  connection.send(told ?? iqResult(iq))
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
