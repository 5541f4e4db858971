/**
 * Linking with a code that the person types on the phone: `link_code_companion_reg`.
 *
 * Companion and phone each send an ephemeral key encrypted under the code; what they agree on protects the identity
 * keys and becomes the ADV secret. Source of every constant: Baileys `Socket/messages-recv.js` and `socket.js`.
 */
import { randomBytes } from 'node:crypto'
import {
  aesDecryptCTR,
  aesDecryptGCM,
  aesEncryptCTR,
  Curve,
  derivePairingCodeKey,
  hkdf,
} from '@whiskeysockets/baileys'
import { PATIENCE } from '../support/until.js'
import { ControlError } from './control-error.js'
import { link, notification, notify } from './pairing.js'
import { bytes, child, iqError, iqResult, node, parseJid } from './stanza.js'

/** @typedef {import('./connection.js').Connection} Connection */
/** @typedef {import('./pairing.js').Registration} Registration */
/** @typedef {import('./world.js').World} World */
/** @typedef {import('./user.js').User} User */
/** @typedef {import('./stanza.js').BinaryNode} BinaryNode */

const FINISH_TIMEOUT_MS = 10_000 * PATIENCE
const WRAPPED_KEY_BYTES = 80

/**
 * @typedef {object} CodeAttempt
 * @property {string} phone whom the companion wants to be linked to
 * @property {Buffer} wrappedKey salt, iv and the companion's ephemeral key under the code
 * @property {Buffer} ref
 * @property {((iq: BinaryNode) => void) | undefined} onFinish
 */

/**
 * @param {Connection} connection
 * @param {BinaryNode} iq
 */
export function receiveCodeStage(connection, iq) {
  const registration = connection.registration
  const request = child(iq, 'link_code_companion_reg')
  if (!registration || !request) return connection.send(iqError(iq, 400, 'bad-request'))
  if (request.attrs.stage === 'companion_hello') return hello(connection, registration, iq, request)
  if (registration.code?.onFinish) return registration.code.onFinish(iq)
  connection.send(iqError(iq, 404, 'item-not-found'))
}

/**
 * @param {Connection} connection
 * @param {Registration} registration
 * @param {BinaryNode} iq
 * @param {BinaryNode} request
 */
function hello(connection, registration, iq, request) {
  const wrappedKey = bytes(request, 'link_code_pairing_wrapped_companion_ephemeral_pub')
  if (wrappedKey?.length !== WRAPPED_KEY_BYTES) return connection.send(iqError(iq, 400, 'bad-request'))
  const phone = parseJid(request.attrs.jid)?.user ?? ''
  if (connection.world.failures.take('code_rate_limited', phone)) return connection.send(iqError(iq, 429, 'rate-overlimit'))
  const ref = randomBytes(16)
  registration.code = { phone, wrappedKey, ref, onFinish: undefined }
  connection.send(
    iqResult(iq, [node('link_code_companion_reg', {}, [node('link_code_pairing_ref', {}, ref)])])
  )
}

/**
 * What a phone does when its owner types a code.
 *
 * @param {World} world
 * @param {string} code
 * @param {User} account
 */
export async function enterCode(world, code, account) {
  const { connection, registration, attempt } = findAttempt(world, account.phone)
  if (world.failures.take('code_taken_back', account.phone)) {
    const taken = node('link_code_companion_reg', { stage: 'refresh_code' })
    connection.send(notification(world, 'link_code_companion_reg', [taken]))
    throw new ControlError(409, 'code_taken_back', 'WhatsApp took the code back; enter the next one')
  }
  const key = code.replace(/[-\s]/g, '')
  const ephemeral = Curve.generateKeyPair()
  const primary = await primaryHello(world, attempt, key, ephemeral.public, account)
  const iq = await waitForFinish(world, connection, attempt, () => connection.send(primary))
  const refused = world.failures.take('code_refused', account.phone)
  if (refused) {
    connection.send(iqError(iq, refused.code ?? 400, refused.text ?? 'bad-request'))
    throw new ControlError(409, 'code_refused', 'WhatsApp refused the companion')
  }
  const shared = Curve.sharedKey(ephemeral.private, await unwrap(attempt.wrappedKey, key))
  const secret = await openBundle(iq, shared, registration, account).catch(error => {
    connection.send(iqError(iq, 400, 'bad-request'))
    throw error
  })
  connection.send(iqResult(iq))
  if (world.failures.take('refresh_after_code', account.phone)) {
    await notify(world, connection, registration, 'companion_reg_refresh', [node('companion_reg_refresh')])
  }
  return link(world, connection, registration, account, secret)
}

/**
 * @param {World} world
 * @param {string} phone
 */
function findAttempt(world, phone) {
  for (const connection of new Set(world.refs.values())) {
    const { registration } = connection
    if (connection.isOpen && registration?.code?.phone === phone) {
      return { connection, registration, attempt: registration.code }
    }
  }
  throw new ControlError(404, 'no_code_attempt', `no companion asked to be linked to ${phone}`)
}

/**
 * @param {World} world
 * @param {CodeAttempt} attempt
 * @param {string} code
 * @param {Uint8Array} ephemeral
 * @param {User} account
 */
async function primaryHello(world, attempt, code, ephemeral, account) {
  const salt = randomBytes(32)
  const iv = randomBytes(16)
  const wrapped = Buffer.concat([salt, iv, aesEncryptCTR(ephemeral, await derivePairingCodeKey(code, salt), iv)])
  const keyLost = world.failures.take('code_without_key', account.phone)
  return notification(world, 'link_code_companion_reg', [
    node('link_code_companion_reg', { stage: 'primary_hello' }, [
      node('link_code_pairing_ref', {}, attempt.ref),
      node('primary_identity_pub', {}, account.peer.identity.pubKey.subarray(1)),
      ...(keyLost ? [] : [node('link_code_pairing_wrapped_primary_ephemeral_pub', {}, wrapped)]),
    ]),
  ])
}

/**
 * @param {World} world
 * @param {Connection} connection
 * @param {CodeAttempt} attempt
 * @param {() => void} ask
 * @returns {Promise<BinaryNode>}
 */
function waitForFinish(world, connection, attempt, ask) {
  return new Promise((resolve, reject) => {
    const fail = () => reject(new ControlError(409, 'code_unanswered', 'the companion did not finish'))
    const deadline = world.later(FINISH_TIMEOUT_MS, fail)
    connection.onClosed.push(fail)
    attempt.onFinish = iq => {
      world.cancel(deadline)
      resolve(iq)
    }
    ask()
  })
}

/**
 * @param {Buffer} wrapped
 * @param {string} code
 */
async function unwrap(wrapped, code) {
  const key = await derivePairingCodeKey(code, wrapped.subarray(0, 32))
  return aesDecryptCTR(wrapped.subarray(48, 80), key, wrapped.subarray(32, 48))
}

/**
 * @param {BinaryNode} iq companion_finish
 * @param {Buffer} shared
 * @param {Registration} registration
 * @param {User} account
 * @returns {Promise<Buffer>} the ADV secret
 */
async function openBundle(iq, shared, registration, account) {
  const wrapped = bytes(child(iq, 'link_code_companion_reg'), 'link_code_pairing_wrapped_key_bundle')
  if (!wrapped) throw new ControlError(409, 'code_unanswered', 'companion_finish without a key bundle')
  const salt = wrapped.subarray(0, 32)
  const key = Buffer.from(hkdf(shared, 32, { salt, info: 'link_code_pairing_key_bundle_encryption_key' }))
  const bundle = openOrNothing(wrapped.subarray(44), key, wrapped.subarray(32, 44))
  if (!bundle) throw new ControlError(409, 'wrong_code', 'the companion shows another code')
  const [companionKey, primaryKey, random] = [bundle.subarray(0, 32), bundle.subarray(32, 64), bundle.subarray(64)]
  const expected = account.peer.identity.pubKey.subarray(1)
  if (!companionKey.equals(registration.identityKey) || !primaryKey.equals(expected)) {
    throw new ControlError(409, 'key_mismatch', 'the key bundle names other identities')
  }
  const identityShared = Curve.sharedKey(account.peer.identity.privKey, companionKey)
  return Buffer.from(hkdf(Buffer.concat([shared, identityShared, random]), 32, { info: 'adv_secret' }))
}

/**
 * @param {Buffer} sealed
 * @param {Buffer} key
 * @param {Buffer} iv
 */
function openOrNothing(sealed, key, iv) {
  try {
    return aesDecryptGCM(sealed, key, iv, Buffer.alloc(0))
  } catch {
    return undefined
  }
}
