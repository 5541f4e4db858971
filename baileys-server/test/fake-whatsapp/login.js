/** What happens right after the handshake: a new companion registers, a linked one logs in. */
import { beginRegistration } from './pairing.js'
import { conflict, node, nowSeconds, streamError } from './stanza.js'

/** @typedef {import('./connection.js').Connection} Connection */
/** @typedef {import('./device.js').Device} Device */
/** @typedef {import('./world.js').World} World */
/** @typedef {import('@whiskeysockets/baileys').proto.ClientPayload} ClientPayload */

/**
 * @param {World} world
 * @param {Connection} connection
 * @param {Buffer} clientKey the Noise static key, which is what identifies a companion
 * @param {ClientPayload} payload
 */
export function admit(world, connection, clientKey, payload) {
  if (payload.devicePairingData?.eIdent?.length) register(world, connection, clientKey, payload)
  else logIn(world, connection, clientKey, payload)
}

/**
 * @param {World} world
 * @param {Connection} connection
 * @param {Buffer} noiseKey
 * @param {ClientPayload} payload
 */
function register(world, connection, noiseKey, payload) {
  const refused = world.failures.take('refuse_registration', undefined)
  if (refused) return refuse(world, connection, refused.reason ?? 500, refused.expire)
  if (isOutdated(world, payload)) return refuse(world, connection, 405)
  beginRegistration(world, connection, noiseKey, payload)
}

/** @param {World} world @param {ClientPayload} payload */
function isOutdated(world, payload) {
  return (payload.userAgent?.appVersion?.tertiary ?? 0) < world.clientRevision
}

/**
 * @param {World} world
 * @param {Connection} connection
 * @param {Buffer} clientKey
 * @param {ClientPayload} payload
 */
function logIn(world, connection, clientKey, payload) {
  const phone = String(payload.username ?? '')
  const refused = world.failures.take('refuse_login', phone)
  if (refused) return refuse(world, connection, refused.reason ?? 500, refused.expire)
  if (isOutdated(world, payload)) return refuse(world, connection, 405)
  const device = world.registry.byPhone.get(phone)?.companions.get(payload.device ?? 0)
  if (!device?.noiseKey.equals(clientKey)) return refuse(world, connection, 401)
  const broken = world.failures.take('stream_error_at_login', phone)
  if (broken) return connection.sendAndClose(streamError(broken.code ?? 503))
  welcome(world, connection, device)
}

/**
 * @param {World} world
 * @param {Connection} connection
 * @param {number} reason
 * @param {number} [expire] seconds a temporary ban lasts
 */
function refuse(world, connection, reason, expire) {
  connection.stage = 'refused'
  world.violations.count('refused_logins')
  connection.sendAndClose(
    node('failure', { reason: String(reason), location: 'fake', expire: expire === undefined ? undefined : String(expire) })
  )
}

/**
 * @param {World} world
 * @param {Connection} connection
 * @param {Device} device
 */
function welcome(world, connection, device) {
  if (device.logins > 0) world.gaps.push({ phone: device.user.phone, ms: device.offlineMs })
  if (device.connection) evict(world, device.connection, device)
  connection.stage = 'logged_in'
  connection.device = device
  device.connection = connection
  device.logins++
  world.violations.count('logins')
  applyLastingFailures(world, connection, device)
  connection.send(node('success', { t: nowSeconds(), lid: device.lidJid, props: '1', location: 'fake' }))
}

/**
 * Failures that hold for a connection as long as it lives.
 *
 * @param {World} world
 * @param {Connection} connection
 * @param {Device} device
 */
export function applyLastingFailures(world, connection, device) {
  if (!connection.silent && world.failures.take('silence', device.user.phone)) connection.silent = true
  if (!connection.deaf && world.failures.take('deaf', device.user.phone)) connection.deaf = true
  if (connection.silent || connection.deaf) device.mailbox.close(connection)
}

/**
 * WhatsApp lets the newer socket of a device win. The older one is told, and should go by itself; how long it stays
 * is measured, since two live sockets of one device are what a lease has to prevent.
 *
 * @param {World} world
 * @param {Connection} older
 * @param {Device} device
 */
function evict(world, older, device) {
  const { violations, options } = world
  const since = Date.now()
  device.evictions++
  violations.count('evictions', { device: device.jid })
  // A silenced socket can't be told, so that it stays is nobody's fault.
  if (older.silent) return older.drop()
  older.send(streamError(undefined, conflict('replaced')))
  const told = older.probe()
  older.evicted = true
  device.mailbox.close(older)
  let overdue = world.later(options.socketGraceMs, look)
  // A process that stood still can't know: its time begins when it answers.
  function look() {
    const leftMs = told.answeredAt > 0 ? told.answeredAt + options.socketGraceMs - Date.now() : 0
    if (leftMs > 0) {
      overdue = world.later(leftMs, look)
      return
    }
    if (told.answeredAt > 0) violations.count('simultaneous_sockets', { device: device.jid })
    older.drop()
  }
  older.onClosed.push(() => {
    world.cancel(overdue)
    violations.longestOverlapMs = Math.max(violations.longestOverlapMs, Date.now() - since)
  })
}
