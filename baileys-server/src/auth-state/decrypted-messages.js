import { createHash } from 'node:crypto'

/**
 * Decrypting a message twice is impossible in Signal, and WhatsApp delivers a message again until it has seen our
 * receipt. Killed between the ratchet step and the receipt, Baileys can't read the redelivered message ("Key used
 * already"), tells WhatsApp that it is broken, and it is lost for good; with it the group message whose key it carried.
 *
 * So the plaintext becomes durable in the same transaction as the ratchet step that made it. The next process answers
 * the redelivery from there: once, and only for what was decrypted before it started, so that replays stay impossible.
 * The last messages are enough, because the receipt follows within milliseconds.
 */

export const DECRYPTED_MESSAGE = 'decrypted-message'
const KEPT_MESSAGES = 64
const MAX_PLAINTEXT_BYTES = 64 * 1024

export class DecryptedMessages {
  /** @type {Map<string, Uint8Array>} what the process before this one decrypted, by digest of the ciphertext */
  #before = new Map()
  #count = 0
  #keyStore

  /** @param {import('./key-store.js').KeyStore} keyStore */
  constructor(keyStore) {
    this.#keyStore = keyStore
  }

  /** @param {{count: number, digest: string, plaintext: Uint8Array}[]} messages as they were stored */
  restore(messages) {
    for (const { count, digest, plaintext } of messages) {
      this.#before.set(digest, plaintext)
      this.#count = Math.max(this.#count, count + 1)
    }
  }

  /**
   * @param {Uint8Array} ciphertext
   * @param {() => Promise<Uint8Array>} decrypt
   * @returns {Promise<Uint8Array>} the plaintext; it becomes durable together with what `decrypt` staged
   */
  async decryptOnce(ciphertext, decrypt) {
    const digest = createHash('sha256').update(ciphertext).digest('base64')
    const known = this.#before.get(digest)
    if (known) {
      this.#before.delete(digest)
      return known
    }
    const plaintext = await decrypt()
    if (plaintext.length <= MAX_PLAINTEXT_BYTES) this.#keep(digest, plaintext)
    return plaintext
  }

  /** @param {string} digest @param {Uint8Array} plaintext */
  #keep(digest, plaintext) {
    const count = this.#count++
    this.#keyStore.stage({ [DECRYPTED_MESSAGE]: { [count % KEPT_MESSAGES]: { count, digest, plaintext } } })
  }
}
