import { createHash } from 'node:crypto'

/**
 * Decrypting a message twice is impossible in Signal, and WhatsApp delivers a message again until it has seen our
 * receipt. Killed between the ratchet step and the receipt, Baileys can't read the redelivered message ("Key used
 * already"), tells WhatsApp that it is broken, and it is lost for good; with it the group message whose key it carried.
 *
 * The same happens without a kill, when the socket drops between the two. So the plaintext is kept, and becomes durable
 * in the same transaction as the ratchet step that made it. The next socket, of this process or of the next, answers the
 * redelivery from there: once, and never the socket that decrypted it, so that replays stay impossible. The last
 * messages are enough, because the receipt follows within milliseconds.
 *
 * With it goes the message itself, as it will be delivered to people: once WhatsApp is told that it arrived, it is ours.
 *
 * @typedef {[messageKey: string, text: string]} Incoming an entry of `incoming_messages` in docs/internal-api.md
 * @typedef {(ciphertext: Uint8Array, plaintext: Uint8Array) => {incoming: Incoming | null, keys: import('./key-store.js').KeysByType} | null} MessageIn
 *   `incoming` null when there is nothing for a person; `keys` become durable in the same write
 */

export const DECRYPTED_MESSAGE = 'decrypted-message'
const KEPT_MESSAGES = 64
const MAX_PLAINTEXT_BYTES = 64 * 1024

export class DecryptedMessages {
  /** @type {Map<string, {plaintext: Uint8Array, by: object | null}>} by digest of the ciphertext, oldest first; by: the socket, null for an earlier process */
  #kept = new Map()
  #count = 0
  #keyStore
  #messageIn

  /** @param {import('./key-store.js').KeyStore} keyStore @param {MessageIn} messageIn */
  constructor(keyStore, messageIn) {
    this.#keyStore = keyStore
    this.#messageIn = messageIn
  }

  /** @param {{count: number, digest: string, plaintext: Uint8Array}[]} messages as they were stored */
  restore(messages) {
    for (const { count, digest, plaintext } of messages.toSorted((a, b) => a.count - b.count)) {
      this.#kept.set(digest, { plaintext, by: null })
      this.#count = Math.max(this.#count, count + 1)
    }
  }

  /**
   * @param {object} socket whatever is one per socket
   * @param {Uint8Array} ciphertext
   * @param {() => Promise<Uint8Array>} decrypt
   * @returns {Promise<Uint8Array>} the plaintext; it, and the message in it, become durable together with what `decrypt` staged
   */
  async decryptOnce(socket, ciphertext, decrypt) {
    const digest = createHash('sha256').update(ciphertext).digest('base64')
    const known = this.#kept.get(digest)
    if (known && known.by !== socket) {
      known.by = socket
      this.#stage({}, ciphertext, known.plaintext)
      return known.plaintext
    }
    const plaintext = await decrypt()
    const kept = plaintext.length <= MAX_PLAINTEXT_BYTES ? this.#keep(socket, digest, plaintext) : {}
    this.#stage(kept, ciphertext, plaintext)
    return plaintext
  }

  /** @param {import('./key-store.js').KeysByType} kept @param {Uint8Array} ciphertext @param {Uint8Array} plaintext */
  #stage(kept, ciphertext, plaintext) {
    const { incoming, keys } = this.#messageIn(ciphertext, plaintext) ?? { incoming: null, keys: {} }
    this.#keyStore.stage({ ...kept, ...keys }, incoming ? [incoming] : [])
  }

  /** @param {object} socket @param {string} digest @param {Uint8Array} plaintext */
  #keep(socket, digest, plaintext) {
    const count = this.#count++
    this.#kept.set(digest, { plaintext, by: socket })
    if (this.#kept.size > KEPT_MESSAGES) this.#kept.delete(/** @type {string} */ (this.#kept.keys().next().value))
    return { [DECRYPTED_MESSAGE]: { [count % KEPT_MESSAGES]: { count, digest, plaintext } } }
  }
}
