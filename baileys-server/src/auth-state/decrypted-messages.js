import { createHash } from 'node:crypto'

/**
 * Decrypting a message twice is impossible in Signal, and WhatsApp delivers a message again until it has seen our
 * receipt. Killed between the ratchet step and the receipt, Baileys can't read the redelivered message ("Key used
 * already"), tells WhatsApp that it is broken, and it is lost for good; with it the group message whose key it carried.
 *
 * The same happens without a kill, when the socket drops between the two. So the plaintext is kept, and becomes durable
 * in the same transaction as the ratchet step that made it. The next socket, of this process or of the next, answers the
 * redelivery from there: once, and never the socket that decrypted it, so that replays stay impossible. The last
 * plaintexts are enough where the receipt follows within milliseconds. On a slow connection it follows hundreds of messages
 * later; of those only the digests are kept, and what comes again is answered as an empty message: it is ours already, and
 * all that WhatsApp waits for is the receipt.
 *
 * With it goes the message itself, as it will be delivered to people: once WhatsApp is told that it arrived, it is ours.
 *
 * @typedef {[messageKey: string, text: string]} Incoming an entry of `incoming_messages` in docs/internal-api.md
 * @typedef {(ciphertext: Uint8Array, plaintext: Uint8Array) => {incoming: Incoming | null, keys: import('./key-store.js').KeysByType} | null} MessageIn
 *   `incoming` null when there is nothing for a person; `keys` become durable in the same write
 */

export const DECRYPTED_MESSAGE = 'decrypted-message'
const KEPT_MESSAGES = 64
/** So many messages before each of these are known by their digest. */
const EARLIER_MESSAGES = 8
const MAX_PLAINTEXT_BYTES = 64 * 1024
/** Letters of a digest, in base64, that tell one message of a session from the others. */
const NAME_LENGTH = 16
const NAMES = new RegExp(`.{${NAME_LENGTH}}`, 'g')
/** A message without content, as Signal carries it: nothing, and one byte of padding. */
const EMPTY = Uint8Array.of(1)

export class DecryptedMessages {
  /** @type {Map<string, {plaintext: Uint8Array, by: object | null}>} by name; by: the socket, null for an earlier process */
  #kept = new Map()
  /** @type {string[][]} names by slot, newest first */
  #slots = Array.from({ length: KEPT_MESSAGES }, () => [])
  #count = 0
  #keyStore
  #messageIn

  /** @param {import('./key-store.js').KeyStore} keyStore @param {MessageIn} messageIn */
  constructor(keyStore, messageIn) {
    this.#keyStore = keyStore
    this.#messageIn = messageIn
  }

  /** @param {{count: number, digest: string, plaintext: Uint8Array, earlier?: string}[]} messages as they were stored */
  restore(messages) {
    for (const { count, digest, plaintext, earlier = '' } of messages) {
      const names = [nameOf(digest), ...earlier.match(NAMES) ?? []]
      this.#slots[count % KEPT_MESSAGES] = names
      for (const name of names) this.#kept.set(name, { plaintext: name === names[0] ? plaintext : EMPTY, by: null })
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
    const known = this.#kept.get(nameOf(digest))
    if (known && known.by !== socket) {
      known.by = socket
      if (known.plaintext !== EMPTY) this.#stage({}, ciphertext, known.plaintext)
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
    const slot = count % KEPT_MESSAGES
    const [before, ...earlier] = this.#slots[slot]
    if (before !== undefined) {
      earlier.unshift(before)
      const known = this.#kept.get(before)
      if (known) known.plaintext = EMPTY
    }
    for (const forgotten of earlier.splice(EARLIER_MESSAGES)) this.#kept.delete(forgotten)
    const name = nameOf(digest)
    this.#slots[slot] = [name, ...earlier]
    this.#kept.set(name, { plaintext, by: socket })
    return { [DECRYPTED_MESSAGE]: { [slot]: { count, digest, plaintext, earlier: earlier.join('') } } }
  }
}

/** @param {string} digest */
function nameOf(digest) {
  return digest.slice(0, NAME_LENGTH)
}
