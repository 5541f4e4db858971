/** Linking a companion to a simulated phone: by QR, or by a code of eight characters. */
import { randomBytes } from 'node:crypto'
import {
  Curve,
  generateSignalPubKey,
  hmacSign,
  proto,
  WA_ADV_ACCOUNT_SIG_PREFIX,
  WA_ADV_DEVICE_SIG_PREFIX,
} from '@whiskeysockets/baileys'
import { PATIENCE } from '../support/until.js'
import { ControlError } from './control-error.js'
import { Device } from './device.js'
import { curve } from './libsignal.js'
import { bytes, child, node, SERVER_JID, streamError } from './stanza.js'

/** @typedef {import('./connection.js').Connection} Connection */
/** @typedef {import('./user.js').User} User */
/** @typedef {import('./world.js').World} World */
/** @typedef {import('./stanza.js').BinaryNode} BinaryNode */
/** @typedef {import('@whiskeysockets/baileys').proto.ClientPayload} ClientPayload */

const REFS_PER_CONNECTION = 6
const PAIRING_TIMEOUT_MS = 10_000 * PATIENCE
const ACK_TIMEOUT_MS = 2_000 * PATIENCE
const DROP_AFTER_MS = 20

/**
 * A companion that asks to be linked.
 *
 * @typedef {object} Registration
 * @property {Buffer} noiseKey
 * @property {Buffer} identityKey
 * @property {number} registrationId
 * @property {import('./peer.js').Bundle['signedPreKey']} signedPreKey
 * @property {string} name as the phone shows it
 * @property {string[]} refs
 * @property {Set<string>} revokedSecrets ADV secrets that the phone no longer accepts
 * @property {Map<string, (() => void)>} unacknowledged notifications, by id, and who waits for the ack
 * @property {((reply: BinaryNode) => void) | undefined} onSigned the answer to pair-success, an error too
 * @property {import('./pairing-code.js').CodeAttempt | undefined} code
 */

/**
 * @param {World} world
 * @param {Connection} connection
 * @param {Buffer} noiseKey
 * @param {ClientPayload} payload
 */
export function beginRegistration(world, connection, noiseKey, payload) {
  connection.stage = 'registering'
  connection.registration = readRegistration(noiseKey, payload)
  const { refs } = connection.registration
  for (const ref of refs) world.refs.set(ref, connection)
  const deadline = world.later(world.options.registrationTimeoutMs, () => connection.socket.close())
  connection.onClosed.push(() => {
    world.cancel(deadline)
    for (const ref of refs) world.refs.delete(ref)
  })
  world.violations.count('qr_shown')
  const content = refs.map(ref => node('ref', {}, Buffer.from(ref)))
  connection.send(
    node('iq', { from: SERVER_JID, type: 'set', id: world.stanzaId(), xmlns: 'md' }, [node('pair-device', {}, content)])
  )
}

/**
 * @param {Buffer} noiseKey
 * @param {ClientPayload} payload
 * @returns {Registration}
 */
function readRegistration(noiseKey, payload) {
  const data = payload.devicePairingData
  const field = (/** @type {Uint8Array | null | undefined} */ value) => Buffer.from(value ?? [])
  return {
    noiseKey,
    identityKey: field(data?.eIdent),
    registrationId: field(data?.eRegid).readUInt32BE(0),
    signedPreKey: {
      keyId: field(data?.eSkeyId).readUIntBE(0, 3),
      publicKey: field(data?.eSkeyVal),
      signature: field(data?.eSkeySig),
    },
    name: proto.DeviceProps.decode(data?.deviceProps ?? new Uint8Array()).os ?? '',
    refs: Array.from({ length: REFS_PER_CONNECTION }, () => `2@${randomBytes(24).toString('base64url')}`),
    revokedSecrets: new Set(),
    unacknowledged: new Map(),
    onSigned: undefined,
    code: undefined,
  }
}

/**
 * What a phone does with a QR code that it sees.
 *
 * @param {World} world
 * @param {string} qr
 * @param {User} account
 */
export async function scan(world, qr, account) {
  const { connection, registration, advSecret } = readQr(world, qr)
  if (world.failures.take('refresh_after_scan', account.phone)) {
    await refresh(world, connection, registration, advSecret, 'companion_reg_refresh')
    throw new ControlError(409, 'secret_rotated', 'WhatsApp asked the companion for another secret; scan what it shows now')
  }
  return link(world, connection, registration, account, Buffer.from(advSecret, 'base64'))
}

/**
 * @param {World} world
 * @param {string} qr rc14 draws a wa.me URL, 6.7 the bare fields
 */
export function readQr(world, qr) {
  const [ref, noiseKey, identityKey, advSecret] = String(qr).split('#').slice(-1)[0].split(',')
  if (!advSecret) throw new ControlError(400, 'bad_qr', 'not a WhatsApp QR code')
  const connection = world.refs.get(ref)
  const registration = connection?.registration
  if (!connection?.isOpen || !registration) throw new ControlError(410, 'stale_ref', 'no open socket shows this QR')
  const matches = registration.noiseKey.equals(Buffer.from(noiseKey, 'base64'))
  if (!matches || !registration.identityKey.equals(Buffer.from(identityKey, 'base64'))) {
    throw new ControlError(409, 'qr_mismatch', 'the QR names other keys than the socket that shows it')
  }
  if (registration.revokedSecrets.has(advSecret)) {
    throw new ControlError(409, 'revoked_secret', 'the QR was drawn before companion_reg_refresh')
  }
  return { connection, registration, advSecret }
}

/**
 * Tells a companion to draw its QR again with a new ADV secret.
 *
 * @param {World} world
 * @param {string} qr the one it shows now; the phone no longer accepts it
 * @param {string} tag `companion_reg_refresh` or `pair-device-rotate-qr`
 */
export async function refreshQr(world, qr, tag) {
  const { connection, registration, advSecret } = readQr(world, qr)
  await refresh(world, connection, registration, advSecret, tag)
}

/**
 * @param {World} world
 * @param {Connection} connection
 * @param {Registration} registration
 * @param {string} advSecret
 * @param {string} tag
 */
async function refresh(world, connection, registration, advSecret, tag) {
  registration.revokedSecrets.add(advSecret)
  await notify(world, connection, registration, 'companion_reg_refresh', [node(tag)])
}

/**
 * Sends a companion that isn't linked a notification, and waits until it is acknowledged.
 *
 * @param {World} world
 * @param {Connection} connection
 * @param {Registration} registration
 * @param {string} type
 * @param {BinaryNode[]} content
 * @returns {Promise<void>}
 */
export function notify(world, connection, registration, type, content) {
  const stanza = notification(world, type, content)
  return new Promise((resolve, reject) => {
    const late = world.later(ACK_TIMEOUT_MS, () => {
      world.violations.count('unacknowledged_notifications', { type })
      reject(new ControlError(409, 'not_acknowledged', `the companion did not acknowledge ${type}`))
    })
    registration.unacknowledged.set(stanza.attrs.id, () => {
      world.cancel(late)
      resolve()
    })
    connection.send(stanza)
  })
}

/** @param {Registration} registration @param {BinaryNode} ack */
export function receiveRegistrationAck(registration, ack) {
  registration.unacknowledged.get(ack.attrs.id)?.()
  registration.unacknowledged.delete(ack.attrs.id)
}

/**
 * Signs the companion into the account, and waits until it signed back.
 *
 * @param {World} world
 * @param {Connection} connection
 * @param {Registration} registration
 * @param {User} account
 * @param {Buffer} advSecret
 */
export async function link(world, connection, registration, account, advSecret) {
  if (world.failures.take('passkey', account.phone)) {
    await notify(world, connection, registration, 'passkey_prologue_request', [node('passkey_prologue_request')])
    connection.silent = true
    throw new ControlError(409, 'passkey_required', 'this account asks for a passkey')
  }
  await step(world, connection, account, 'scan')
  const secret = world.failures.take('pair_bad_secret', account.phone) ? randomBytes(32) : advSecret
  const id = account.nextDeviceId++
  const signed = signIdentity(account, registration, id)
  const stanza = pairSuccess(world, account, id, signed, secret)
  const interrupted = step(world, connection, account, 'pair_success', () => connection.send(stanza))
  if (interrupted) await interrupted
  const reply = await waitForSignature(world, connection, registration, () => connection.send(stanza))
  const deviceIdentity = verifyReply(reply, signed, registration, account)
  addDevice(world, account, id, registration, deviceIdentity)
  await step(world, connection, account, 'signature')
  // WhatsApp ends the registration's stream; the companion logs in on a new one.
  connection.sendAndClose(streamError(515))
  return { jid: `${account.phone}:${id}@s.whatsapp.net`, lid: `${account.lidUser}:${id}@lid` }
}

/**
 * Where a test may stop a linking, or cut it.
 *
 * @param {World} world
 * @param {Connection} connection
 * @param {User} account
 * @param {'scan' | 'pair_success' | 'signature'} name
 * @param {() => void} [before] what still happens when it is stopped or cut here
 * @returns {Promise<never> | undefined} undefined: nobody wants to
 */
function step(world, connection, account, name, before = () => {}) {
  const drop = world.failures.take(`drop_at_${name}`, account.phone)
  if (!drop && !world.failures.take(`hold_at_${name}`, account.phone)) return undefined
  before()
  const gone = new Promise((_resolve, reject) => {
    connection.onClosed.push(() => reject(new ControlError(409, 'pairing_failed', `the connection was lost at the ${name}`)))
  })
  // What was sent just now still leaves.
  if (drop) world.later(DROP_AFTER_MS, () => connection.drop())
  return /** @type {Promise<never>} */ (gone)
}

/**
 * @param {User} account
 * @param {Registration} registration
 * @param {number} id
 */
function signIdentity(account, registration, id) {
  const timestamp = Math.floor(Date.now() / 1000)
  const details = Buffer.from(proto.ADVDeviceIdentity.encode({ rawId: id, timestamp, keyIndex: id }).finish())
  const message = Buffer.concat([WA_ADV_ACCOUNT_SIG_PREFIX, details, registration.identityKey])
  return {
    details,
    accountSignatureKey: account.peer.identity.pubKey.subarray(1),
    accountSignature: Buffer.from(Curve.sign(account.peer.identity.privKey, message)),
  }
}

/**
 * @param {World} world
 * @param {User} account
 * @param {number} id
 * @param {ReturnType<typeof signIdentity>} signed
 * @param {Buffer} secret
 */
function pairSuccess(world, account, id, signed, secret) {
  const details = proto.ADVSignedDeviceIdentity.encode(signed).finish()
  const wrapped = proto.ADVSignedDeviceIdentityHMAC.encode({ details, hmac: hmacSign(details, secret) }).finish()
  const jid = `${account.phone}:${id}@s.whatsapp.net`
  return node('iq', { from: SERVER_JID, type: 'set', id: world.stanzaId(), xmlns: 'md' }, [
    node('pair-success', {}, [
      node('device-identity', {}, Buffer.from(wrapped)),
      node('device', { jid, lid: `${account.lidUser}:${id}@lid` }),
      node('platform', { name: 'android' }),
    ]),
  ])
}

/**
 * @param {World} world
 * @param {Connection} connection
 * @param {Registration} registration
 * @param {() => void} ask
 * @returns {Promise<BinaryNode>}
 */
function waitForSignature(world, connection, registration, ask) {
  return new Promise((resolve, reject) => {
    const fail = () => reject(new ControlError(409, 'pairing_failed', 'the companion did not accept pair-success'))
    const deadline = world.later(PAIRING_TIMEOUT_MS, fail)
    connection.onClosed.push(fail)
    registration.onSigned = reply => {
      if (reply.attrs.type === 'result' && !child(reply, 'pair-device-sign')) return // to another query
      world.cancel(deadline)
      if (reply.attrs.type === 'result') resolve(reply)
      else fail()
    }
    ask()
  })
}

/**
 * @param {BinaryNode} reply
 * @param {ReturnType<typeof signIdentity>} signed
 * @param {Registration} registration
 * @param {User} account
 * @returns {Buffer} the identity signed by both sides, as others see it in a key bundle
 */
function verifyReply(reply, signed, registration, account) {
  const content = bytes(child(reply, 'pair-device-sign'), 'device-identity')
  const identity = content && proto.ADVSignedDeviceIdentity.decode(content)
  const accountKey = account.peer.identity.pubKey.subarray(1)
  const message = Buffer.concat([WA_ADV_DEVICE_SIG_PREFIX, signed.details, registration.identityKey, accountKey])
  const signature = Buffer.from(identity?.deviceSignature ?? [])
  const publicKey = Buffer.from(generateSignalPubKey(registration.identityKey))
  // libsignal's own verify is asked, since Baileys' wrapper ignores its outcome.
  if (signature.length !== 64 || !curve.verifySignature(publicKey, message, signature)) {
    throw new ControlError(409, 'bad_device_signature', 'the companion signed something else')
  }
  return Buffer.from(proto.ADVSignedDeviceIdentity.encode({ ...signed, deviceSignature: signature }).finish())
}

/**
 * @param {World} world
 * @param {User} account
 * @param {number} id
 * @param {Registration} registration
 * @param {Buffer} signedIdentity
 */
function addDevice(world, account, id, registration, signedIdentity) {
  account.isAccount = true
  account.companions.set(id, new Device(account, id, { ...registration, signedIdentity }))
  world.violations.count('registrations', { device: `${account.phone}:${id}` })
}

/**
 * @param {World} world
 * @param {string} type
 * @param {BinaryNode[]} content
 */
export function notification(world, type, content) {
  const t = String(Math.floor(Date.now() / 1000))
  return node('notification', { from: SERVER_JID, type, id: world.stanzaId(), t }, content)
}
