/** A companion device as the server knows it: its keys, its pre-keys, its mailbox and its socket. */
import { ProtocolAddress } from './libsignal.js'
import { Mailbox } from './mailbox.js'
import { MessageNumbers } from './message-numbers.js'

/** @typedef {import('./peer.js').Bundle} Bundle */
/** @typedef {import('./connection.js').Connection} Connection */
/** @typedef {import('./user.js').User} User */

/** WhatsApp asks for more when few are left; Baileys ignores the request unless fewer than five are. */
const PRE_KEYS_LOW = 5

export class Device {
  /**
   * @param {User} user
   * @param {number} id
   * @param {{noiseKey: Buffer, identityKey: Buffer, registrationId: number, signedPreKey: Bundle['signedPreKey'],
   *   signedIdentity: Buffer, name?: string}} keys as the companion presented them when it was linked
   */
  constructor(user, id, keys) {
    this.user = user
    this.id = id
    this.noiseKey = keys.noiseKey
    this.identityKey = keys.identityKey
    this.registrationId = keys.registrationId
    this.signedPreKey = keys.signedPreKey
    this.signedIdentity = keys.signedIdentity
    this.name = keys.name ?? ''
    this.jid = `${user.phone}:${id}@s.whatsapp.net`
    this.lidJid = `${user.lidUser}:${id}@lid`
    /** @type {import('./libsignal.js').Address} */
    this.address = new ProtocolAddress(user.lidUser, id)
    /** @type {Map<number, Buffer>} one-time pre-keys not given to anyone yet */
    this.preKeys = new Map()
    /** @type {Map<number, Buffer>} those that somebody holds */
    this.handedOut = new Map()
    this.askedForPreKeys = false
    this.mailbox = new Mailbox()
    /** @type {Map<User, string>} whose presence it asked for, and by which address */
    this.subscriptions = new Map()
    this.numbers = new MessageNumbers()
    /** @type {Connection | undefined} */
    this.connection = undefined
    /** @type {number | null} milliseconds since 1970 */
    this.offlineSince = null
    this.phoneSynced = false
    this.logins = 0
    this.evictions = 0
  }

  /** How long it has been without a socket. */
  get offlineMs() {
    return this.connection || this.offlineSince === null ? 0 : Date.now() - this.offlineSince
  }

  /**
   * @param {number} id
   * @param {Buffer} publicKey
   * @returns {boolean} false when somebody already holds a pre-key with this id
   */
  offerPreKey(id, publicKey) {
    if (this.handedOut.has(id)) return false
    this.preKeys.set(id, publicKey)
    this.askedForPreKeys = false
    return true
  }

  /**
   * Notes a pre-key that the companion gave to a contact itself, inside a retry receipt.
   *
   * @param {number} id
   * @param {Buffer} publicKey
   * @returns {boolean} false when another key went out under this id
   */
  noteHandedOut(id, publicKey) {
    const before = this.handedOut.get(id)
    this.handedOut.set(id, publicKey)
    this.preKeys.delete(id)
    return !before || before.equals(publicKey)
  }

  /** @returns {Bundle} without a one-time pre-key when none is left */
  takeBundle() {
    const [next] = this.preKeys
    if (next) {
      this.preKeys.delete(next[0])
      this.handedOut.set(next[0], next[1])
    }
    return {
      registrationId: this.registrationId,
      identityKey: this.identityKey,
      signedPreKey: this.signedPreKey,
      preKey: next && { keyId: next[0], publicKey: next[1] },
    }
  }

  /** Says once, until it is answered, that pre-keys run low. */
  preKeysJustRanLow() {
    if (this.askedForPreKeys || this.preKeys.size >= PRE_KEYS_LOW) return false
    this.askedForPreKeys = true
    return true
  }

  /** @param {boolean} asLid */
  jidAs(asLid) {
    return asLid ? this.lidJid : this.jid
  }
}
