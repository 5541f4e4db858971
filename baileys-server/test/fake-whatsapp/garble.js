/** Corrupting a ciphertext so that its authentication fails at the reader. */
import { PreKeyWhisperMessage } from './libsignal.js'

/**
 * @param {string} type enc type on the wire
 * @param {Buffer} ciphertext
 */
export function garble(type, ciphertext) {
  if (type !== 'pkmsg') return flipLast(ciphertext)
  // The outer message ends with an id that readers ignore; what is authenticated is inside.
  const outer = PreKeyWhisperMessage.decode(ciphertext.subarray(1))
  outer.message = flipLast(Buffer.from(outer.message))
  return Buffer.concat([ciphertext.subarray(0, 1), PreKeyWhisperMessage.encode(outer).finish()])
}

/** @param {Buffer} bytes */
function flipLast(bytes) {
  const copy = Buffer.from(bytes)
  copy[copy.length - 1] ^= 0xff
  return copy
}
