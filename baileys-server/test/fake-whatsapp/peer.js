/**
 * A simulated phone: device 0 of a contact or of a linked account, with real Signal encryption.
 *
 * libsignal's `decryptWhisperMessage` damages a session that failed to decrypt and stores it when another session
 * succeeds. A real phone doesn't, so decryption here works on a copy of one session and keeps it only on success:
 * what fails at a peer is then the companion's doing.
 */
import { generateSignalPubKey } from '@whiskeysockets/baileys'
import { GroupCipher } from '@whiskeysockets/baileys/lib/Signal/Group/group_cipher.js'
import { GroupSessionBuilder } from '@whiskeysockets/baileys/lib/Signal/Group/group-session-builder.js'
import { SenderKeyDistributionMessage } from '@whiskeysockets/baileys/lib/Signal/Group/sender-key-distribution-message.js'
import { SenderKeyName } from '@whiskeysockets/baileys/lib/Signal/Group/sender-key-name.js'
import { SenderKeyRecord } from '@whiskeysockets/baileys/lib/Signal/Group/sender-key-record.js'
import {
  curve,
  keyhelper,
  PreKeyWhisperMessage,
  ProtocolAddress,
  SessionBuilder,
  SessionCipher,
  SessionRecord,
} from './libsignal.js'

/** Phones keep a handful of receiving chains per session; libsignal keeps all, and would grow without end. */
const RECEIVING_CHAINS_KEPT = 5
const RECEIVING = 2

/**
 * What a device publishes so that others can open a Signal session with it. Keys are raw, 32 bytes.
 *
 * @typedef {object} Bundle
 * @property {number} registrationId
 * @property {Buffer} identityKey
 * @property {{keyId: number, publicKey: Buffer, signature: Buffer}} signedPreKey
 * @property {{keyId: number, publicKey: Buffer} | undefined} preKey
 */

/** @typedef {import('./libsignal.js').Address} Address */

export class Peer {
  /**
   * @param {string} user the LID user, so that one device has one address however it is spelled
   * @param {{onPreKeyReused: (detail: Record<string, unknown>) => void}} watch
   */
  constructor(user, watch) {
    /** @type {Address} */
    this.address = new ProtocolAddress(user, 0)
    this.watch = watch
    this.identity = keyhelper.generateIdentityKeyPair()
    this.registrationId = keyhelper.generateRegistrationId()
    this.signedPreKey = keyhelper.generateSignedPreKey(this.identity, 1)
    this.nextPreKeyId = 1
    /** @type {Map<number, {pubKey: Buffer, privKey: Buffer}>} */
    this.preKeys = new Map()
    /** @type {Map<number, string>} one-time pre-key id -> base key of the session that spent it */
    this.spentPreKeys = new Map()
    /** @type {Map<string, any>} address -> libsignal SessionRecord */
    this.sessions = new Map()
    /** @type {Map<string, any>} sender key name -> Baileys SenderKeyRecord */
    this.senderKeys = new Map()
    this.jobs = Promise.resolve()
  }

  /**
   * Runs one piece of work at a time, in order: a phone reads its messages one after the other.
   *
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  run(work) {
    const result = this.jobs.then(work)
    this.jobs = result.then(
      () => {},
      () => {}
    )
    return result
  }

  /** @returns {Bundle} with a one-time pre-key of its own */
  takeBundle() {
    const keyId = this.nextPreKeyId++
    const pair = curve.generateKeyPair()
    this.preKeys.set(keyId, pair)
    return {
      registrationId: this.registrationId,
      identityKey: this.identity.pubKey.subarray(1),
      signedPreKey: {
        keyId: this.signedPreKey.keyId,
        publicKey: this.signedPreKey.keyPair.pubKey.subarray(1),
        signature: this.signedPreKey.signature,
      },
      preKey: { keyId, publicKey: pair.pubKey.subarray(1) },
    }
  }

  /** @param {Address} address */
  hasSession(address) {
    return Boolean(this.sessions.get(address.toString())?.haveOpenSession())
  }

  /**
   * @param {Address} address
   * @param {Bundle} bundle
   */
  async openSession(address, bundle) {
    await new SessionBuilder(this.#storage(), address).initOutgoing({
      registrationId: bundle.registrationId,
      identityKey: generateSignalPubKey(bundle.identityKey),
      signedPreKey: {
        ...bundle.signedPreKey,
        publicKey: generateSignalPubKey(bundle.signedPreKey.publicKey),
      },
      preKey: bundle.preKey && {
        keyId: bundle.preKey.keyId,
        publicKey: generateSignalPubKey(bundle.preKey.publicKey),
      },
    })
  }

  /**
   * @param {Address} address with whom a session is open
   * @param {Uint8Array} plaintext
   * @returns {Promise<{type: 'pkmsg' | 'msg', ciphertext: Buffer}>}
   */
  async encrypt(address, plaintext) {
    const { type, body } = await new SessionCipher(this.#storage(), address).encrypt(Buffer.from(plaintext))
    return { type: type === 3 ? 'pkmsg' : 'msg', ciphertext: Buffer.from(body) }
  }

  /**
   * @param {Address} address
   * @param {string} type
   * @param {Buffer} ciphertext
   * @returns {Promise<Buffer>}
   */
  decrypt(address, type, ciphertext) {
    return type === 'pkmsg' ? this.#decryptPreKey(address, ciphertext) : this.#decryptWhisper(address, ciphertext)
  }

  /**
   * @param {string} group
   * @param {Address} sender
   * @param {Uint8Array} distribution
   */
  async acceptSenderKey(group, sender, distribution) {
    const message = new SenderKeyDistributionMessage(null, null, null, null, Buffer.from(distribution))
    const name = new SenderKeyName(group, sender)
    const known = this.senderKeys.get(name.toString())?.getSenderKeyState(message.getId())
    // Signal keeps the chain it has when the same key comes again, else it would forget skipped messages.
    if (known?.getSigningKeyPublic().equals(Buffer.from(message.getSignatureKey()))) return
    await new GroupSessionBuilder(this.#senderKeyStore()).process(name, message)
  }

  /**
   * @param {string} group
   * @param {Address} sender
   * @param {Buffer} ciphertext
   * @returns {Promise<Buffer>}
   */
  async decryptGroup(group, sender, ciphertext) {
    const cipher = new GroupCipher(this.#senderKeyStore(), new SenderKeyName(group, sender))
    return Buffer.from(await cipher.decrypt(ciphertext))
  }

  /**
   * @param {string} group
   * @param {Uint8Array} plaintext
   * @returns {Promise<{ciphertext: Buffer, distribution: Buffer}>} the distribution opens this message and later ones
   */
  async encryptGroup(group, plaintext) {
    const name = new SenderKeyName(group, this.address)
    const distribution = await this.senderKeyDistribution(group)
    const ciphertext = await new GroupCipher(this.#senderKeyStore(), name).encrypt(Buffer.from(plaintext))
    return { ciphertext: Buffer.from(ciphertext), distribution }
  }

  /** @param {string} group */
  async senderKeyDistribution(group) {
    const created = await new GroupSessionBuilder(this.#senderKeyStore()).create(new SenderKeyName(group, this.address))
    return Buffer.from(created.serialize())
  }

  /**
   * @param {Address} address
   * @param {Buffer} ciphertext
   */
  async #decryptWhisper(address, ciphertext) {
    const record = this.sessions.get(address.toString())
    if (!record) throw new Error('no session record')
    for (const session of record.getSessions()) {
      const plaintext = await this.#tryWith(address, record, session, ciphertext).catch(() => undefined)
      if (plaintext) return plaintext
    }
    throw new Error('no matching sessions found for message')
  }

  /**
   * @param {Address} address
   * @param {any} record
   * @param {any} session one of the record's; replaced by its successor on success
   * @param {Buffer} ciphertext
   * @returns {Promise<Buffer>}
   */
  async #tryWith(address, record, session, ciphertext) {
    const trial = session.constructor.deserialize(session.serialize())
    const plaintext = await new SessionCipher(this.#storage(), address).doDecryptWhisperMessage(ciphertext, trial)
    trial.indexInfo.used = Date.now()
    pruneReceivingChains(trial)
    promote(record, trial)
    record.removeOldSessions()
    this.sessions.set(address.toString(), record)
    return plaintext
  }

  /**
   * @param {Address} address
   * @param {Buffer} ciphertext
   */
  async #decryptPreKey(address, ciphertext) {
    const message = PreKeyWhisperMessage.decode(ciphertext.subarray(1))
    const record = this.sessions.get(address.toString()) ?? new SessionRecord()
    const known = record.getSession(message.baseKey)
    if (known) return this.#tryWith(address, record, known, message.message)
    this.#noticeSpentPreKey(address, message)
    const open = record.getOpenSession()
    try {
      await new SessionBuilder(this.#storage(), address).initIncoming(record, message)
      const plaintext = await this.#tryWith(address, record, record.getSession(message.baseKey), message.message)
      if (message.preKeyId) this.#spend(message)
      return plaintext
    } catch (error) {
      delete record.sessions[message.baseKey.toString('base64')]
      if (open) open.indexInfo.closed = -1
      throw error
    }
  }

  /** @param {any} message */
  #spend(message) {
    this.preKeys.delete(message.preKeyId)
    this.spentPreKeys.set(message.preKeyId, message.baseKey.toString('base64'))
  }

  /**
   * @param {Address} address
   * @param {any} message
   */
  #noticeSpentPreKey(address, message) {
    const spentBy = this.spentPreKeys.get(message.preKeyId)
    if (!spentBy || spentBy === message.baseKey.toString('base64')) return
    this.watch.onPreKeyReused({ sender: address.toString(), recipient: this.address.toString(), id: message.preKeyId })
  }

  #storage() {
    return {
      isTrustedIdentity: () => true,
      getOurIdentity: () => this.identity,
      getOurRegistrationId: () => this.registrationId,
      loadSignedPreKey: () => this.signedPreKey.keyPair,
      loadPreKey: (/** @type {number} */ id) => this.preKeys.get(id),
      removePreKey: (/** @type {number} */ id) => void this.preKeys.delete(id),
      loadSession: (/** @type {string} */ address) => this.sessions.get(address),
      storeSession: (/** @type {string} */ address, /** @type {any} */ record) => void this.sessions.set(address, record),
    }
  }

  /** @returns {any} */
  #senderKeyStore() {
    return {
      loadSenderKey: async (/** @type {any} */ name) => this.senderKeys.get(name.toString()) ?? new SenderKeyRecord(),
      storeSenderKey: async (/** @type {any} */ name, /** @type {any} */ record) => {
        this.senderKeys.set(name.toString(), record)
      },
    }
  }
}

/**
 * A phone answers on the session that it heard last: without this, two devices that opened sessions at the same time
 * would keep writing on different ones.
 *
 * @param {any} record
 * @param {any} session
 */
function promote(record, session) {
  const open = record.getOpenSession()
  const key = session.indexInfo.baseKey.toString('base64')
  if (open && open.indexInfo.baseKey.toString('base64') !== key) open.indexInfo.closed = Date.now()
  session.indexInfo.closed = -1
  record.sessions[key] = session
}

/** @param {any} session */
function pruneReceivingChains(session) {
  const receiving = [...session.chains()].filter(([, chain]) => chain.chainType === RECEIVING)
  for (const [key] of receiving.slice(0, -RECEIVING_CHAINS_KEPT)) session.deleteChain(key)
}
