/**
 * Notices a Signal message number that is used twice, from the wire alone.
 *
 * A message key must encrypt one message. A client that restores stale state counts again from where the copy was
 * taken, under the same ratchet key or sender key: that breaks the encryption silently, even where it decrypts.
 */
import { createHash } from 'node:crypto'
import { proto } from '@whiskeysockets/baileys'
import { PreKeyWhisperMessage, WhisperMessage } from './libsignal.js'

const MAC_BYTES = 8
const SIGNATURE_BYTES = 64

/**
 * @typedef {object} MessageNumber
 * @property {string} chain the ratchet key, or the id of a sender key
 * @property {number} number
 * @property {Buffer} body what the number was spent on
 */

/**
 * @param {string} type enc type on the wire
 * @param {Buffer} ciphertext
 * @returns {MessageNumber}
 */
export function messageNumberOf(type, ciphertext) {
  if (type === 'skmsg') {
    const message = proto.SenderKeyMessage.decode(ciphertext.subarray(1, -SIGNATURE_BYTES))
    return { chain: String(message.id), number: message.iteration ?? 0, body: ciphertext }
  }
  const body = type === 'pkmsg' ? PreKeyWhisperMessage.decode(ciphertext.subarray(1)).message : ciphertext
  const message = WhisperMessage.decode(body.subarray(1, -MAC_BYTES))
  return { chain: message.ephemeralKey.toString('base64'), number: message.counter, body }
}

/** One sending device's numbers. */
export class MessageNumbers {
  constructor() {
    /** @type {Map<string, {digest: string, id: string}>} */
    this.spent = new Map()
  }

  /**
   * @param {MessageNumber} used
   * @param {string} recipient a device, or a group
   * @param {string} id of the message
   * @returns {string | undefined} the id of the message that spent the number before, on other content
   */
  spend({ chain, number, body }, recipient, id) {
    const key = `${recipient} ${chain} ${number}`
    const digest = createHash('sha256').update(body).digest('base64')
    const before = this.spent.get(key)
    if (!before) {
      this.spent.set(key, { digest, id })
      return undefined
    }
    // The same bytes again are a resend, not a second use.
    return before.digest === digest ? undefined : before.id
  }
}
