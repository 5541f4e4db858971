import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'

const PLAIN = 0
const SEALED = 1
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** AES-256-GCM for the journal's records: the first key seals, all of them open. Without keys records stay plain. */
export class JournalSeal {
  #keys

  /** @param {readonly Buffer[]} keys each 32 bytes */
  constructor(keys) {
    this.#keys = keys
  }

  /** @param {Uint8Array} record @returns {Buffer} the kind in one byte; then the record, or nonce, tag and ciphertext */
  seal(record) {
    const [key] = this.#keys
    if (!key) return Buffer.concat([Buffer.of(PLAIN), record])
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv('aes-256-gcm', key, nonce)
    const ciphertext = [cipher.update(record), cipher.final()]
    return Buffer.concat([Buffer.of(SEALED), nonce, cipher.getAuthTag(), ...ciphertext])
  }

  /** @param {Buffer} sealed @returns {Buffer | null} null: none of the keys opens it */
  open(sealed) {
    const content = sealed.subarray(1)
    if (sealed[0] === PLAIN) return content
    for (const key of this.#keys) {
      const decipher = createDecipheriv('aes-256-gcm', key, content.subarray(0, NONCE_BYTES))
      decipher.setAuthTag(content.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
      try {
        return Buffer.concat([decipher.update(content.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()])
      } catch {
        // Another key's.
      }
    }
    return null
  }
}
