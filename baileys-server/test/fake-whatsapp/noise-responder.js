/**
 * The server's side of WhatsApp's Noise_XX_25519_AESGCM_SHA256 handshake, and the encrypted frames after it.
 *
 * Baileys' `Utils/noise-handler.js` is the initiator; its order of mixing is mirrored here.
 */
import {
  aesDecryptGCM,
  aesEncryptGCM,
  Curve,
  hkdf,
  NOISE_MODE,
  NOISE_WA_HEADER,
  proto,
  sha256,
} from '@whiskeysockets/baileys'

const EMPTY = Buffer.alloc(0)
const LENGTH_BYTES = 3
const ROUTING_HEADER_BYTES = 7

/** @param {number} counter */
function ivOf(counter) {
  const iv = Buffer.alloc(12)
  iv.writeUInt32BE(counter, 8)
  return iv
}

/**
 * A certificate chain as WhatsApp presents it: root signs intermediate, intermediate signs leaf.
 *
 * Baileys rc14 checks both signatures but ignores their outcome; a chain that is really valid survives the repair.
 */
export class CertificateAuthority {
  constructor() {
    this.root = Curve.generateKeyPair()
    this.intermediate = Curve.generateKeyPair()
  }

  /** @param {Uint8Array} serverKey the static key that the leaf vouches for */
  chainFor(serverKey) {
    const { Details } = proto.CertChain.NoiseCertificate
    const intermediate = Details.encode({ serial: 1, issuerSerial: 0, key: this.intermediate.public }).finish()
    const leaf = Details.encode({ serial: 2, issuerSerial: 1, key: serverKey }).finish()
    return proto.CertChain.encode({
      intermediate: { details: intermediate, signature: Curve.sign(this.root.private, intermediate) },
      leaf: { details: leaf, signature: Curve.sign(this.intermediate.private, leaf) },
    }).finish()
  }
}

export class NoiseResponder {
  /**
   * @param {CertificateAuthority} authority
   * @param {{private: Uint8Array, public: Uint8Array}} staticKey the server's long-lived Noise key
   */
  constructor(authority, staticKey) {
    this.authority = authority
    this.staticKey = staticKey
    this.ephemeral = Curve.generateKeyPair()
    /** @type {Buffer} */
    this.buffered = EMPTY
    this.introRead = false
    /** @type {Buffer} */
    this.hash = Buffer.from(NOISE_MODE)
    /** @type {Buffer} */
    this.salt = this.hash
    /** @type {Buffer} */
    this.key = this.hash
    this.counter = 0
    /** @type {{read: Buffer, write: Buffer, reads: number, writes: number} | undefined} */
    this.transport = undefined
  }

  /**
   * Feeds bytes from the socket.
   *
   * @param {Buffer} data
   * @returns {Buffer[]} the complete frames, decrypted once the handshake is over
   */
  frames(data) {
    this.buffered = this.buffered.length ? Buffer.concat([this.buffered, data]) : data
    if (!this.introRead && !this.#readIntro()) return []
    const frames = []
    for (let frame = this.#nextFrame(); frame; frame = this.#nextFrame()) {
      frames.push(this.transport ? this.#open(frame) : frame)
    }
    return frames
  }

  /**
   * Answers the client's hello.
   *
   * @param {Buffer} frame
   * @returns {Buffer} the server hello, framed
   */
  answerHello(frame) {
    const { clientHello } = proto.HandshakeMessage.decode(frame)
    const clientEphemeral = Buffer.from(clientHello?.ephemeral ?? EMPTY)
    if (clientEphemeral.length !== 32) throw new Error('client hello without an ephemeral key')
    this.#mixHash(NOISE_WA_HEADER)
    this.#mixHash(clientEphemeral)
    this.#mixHash(this.ephemeral.public)
    this.#mixKey(Curve.sharedKey(this.ephemeral.private, clientEphemeral))
    const encryptedStatic = this.#encrypt(this.staticKey.public)
    this.#mixKey(Curve.sharedKey(this.staticKey.private, clientEphemeral))
    const payload = this.#encrypt(this.authority.chainFor(this.staticKey.public))
    const serverHello = { ephemeral: this.ephemeral.public, static: encryptedStatic, payload }
    return withLength(Buffer.from(proto.HandshakeMessage.encode({ serverHello }).finish()))
  }

  /**
   * Reads the client's finish and switches to transport keys.
   *
   * @param {Buffer} frame
   * @returns {{clientKey: Buffer, payload: import('@whiskeysockets/baileys').proto.ClientPayload}}
   */
  readFinish(frame) {
    const { clientFinish } = proto.HandshakeMessage.decode(frame)
    if (!clientFinish?.static || !clientFinish.payload) throw new Error('client finish is incomplete')
    const clientKey = this.#decrypt(Buffer.from(clientFinish.static))
    this.#mixKey(Curve.sharedKey(this.ephemeral.private, clientKey))
    const payload = proto.ClientPayload.decode(this.#decrypt(Buffer.from(clientFinish.payload)))
    const [read, write] = this.#derive(EMPTY)
    this.transport = { read, write, reads: 0, writes: 0 }
    return { clientKey, payload }
  }

  /** @param {Uint8Array} plaintext */
  seal(plaintext) {
    if (!this.transport) throw new Error('the handshake is not finished')
    return withLength(aesEncryptGCM(plaintext, this.transport.write, ivOf(this.transport.writes++), EMPTY))
  }

  /** @param {Buffer} frame */
  #open(frame) {
    if (!this.transport) throw new Error('the handshake is not finished')
    return aesDecryptGCM(frame, this.transport.read, ivOf(this.transport.reads++), EMPTY)
  }

  /** The first bytes of a connection: an optional edge-routing prefix, then `WA` and two version bytes. */
  #readIntro() {
    let offset = 0
    if (this.buffered.subarray(0, 2).toString('latin1') === 'ED') {
      if (this.buffered.length < ROUTING_HEADER_BYTES) return false
      offset = ROUTING_HEADER_BYTES + this.buffered.readUIntBE(4, 3)
    }
    if (this.buffered.length < offset + NOISE_WA_HEADER.length) return false
    const header = this.buffered.subarray(offset, offset + NOISE_WA_HEADER.length)
    if (!header.equals(NOISE_WA_HEADER)) throw new Error('not a WhatsApp client')
    this.buffered = this.buffered.subarray(offset + NOISE_WA_HEADER.length)
    this.introRead = true
    return true
  }

  #nextFrame() {
    if (this.buffered.length < LENGTH_BYTES) return undefined
    const end = LENGTH_BYTES + this.buffered.readUIntBE(0, LENGTH_BYTES)
    if (this.buffered.length < end) return undefined
    const frame = this.buffered.subarray(LENGTH_BYTES, end)
    this.buffered = this.buffered.subarray(end)
    return frame
  }

  /** @param {Uint8Array} data */
  #mixHash(data) {
    this.hash = sha256(Buffer.concat([this.hash, data]))
  }

  /**
   * @param {Uint8Array} data
   * @returns {[Buffer, Buffer]}
   */
  #derive(data) {
    const derived = Buffer.from(hkdf(Buffer.from(data), 64, { salt: this.salt, info: '' }))
    return [derived.subarray(0, 32), derived.subarray(32)]
  }

  /** @param {Uint8Array} data */
  #mixKey(data) {
    ;[this.salt, this.key] = this.#derive(data)
    this.counter = 0
  }

  /** @param {Uint8Array} plaintext */
  #encrypt(plaintext) {
    const sealed = aesEncryptGCM(plaintext, this.key, ivOf(this.counter++), this.hash)
    this.#mixHash(sealed)
    return sealed
  }

  /** @param {Buffer} ciphertext */
  #decrypt(ciphertext) {
    const opened = aesDecryptGCM(ciphertext, this.key, ivOf(this.counter++), this.hash)
    this.#mixHash(ciphertext)
    return opened
  }
}

/** @param {Buffer} frame */
function withLength(frame) {
  const length = Buffer.alloc(LENGTH_BYTES)
  length.writeUIntBE(frame.length, 0, LENGTH_BYTES)
  return Buffer.concat([length, frame])
}
