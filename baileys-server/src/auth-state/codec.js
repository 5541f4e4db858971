import { createHash } from 'node:crypto'
import { BufferJSON, proto } from '@whiskeysockets/baileys'

/**
 * Creds and signal keys travel and rest as JSON text in Baileys' own notation for bytes (`BufferJSON`). The set of key
 * types is open: a type that a later Baileys adds needs nothing here, unless it wants its protobuf class back.
 */

/**
 * The text that `JSON.stringify(value, BufferJSON.replacer)` writes, in about half the time: every write of every session
 * comes through here, and a replacer is called for each property, after each Buffer was spelled out as an array of numbers.
 * @param {unknown} value
 */
export function encode(value) {
  const plain = plainOf(value)
  return plain === NOT_PLAIN ? JSON.stringify(value, BufferJSON.replacer) : JSON.stringify(plain)
}

/** @param {string} text */
export function decode(text) {
  return JSON.parse(text, BufferJSON.reviver)
}

/**
 * @param {string} keyType
 * @param {string} text
 */
export function decodeKey(keyType, text) {
  const value = decode(text)
  // Baileys calls protobuf methods on this one (see useMultiFileAuthState).
  return keyType === 'app-state-sync-key' ? proto.Message.AppStateSyncKeyData.fromObject(value) : value
}

/** @param {string} text */
export function digest(text) {
  return createHash('sha256').update(text, 'utf8').digest('hex')
}

/** @type {unique symbol} something that only JSON.stringify and the replacer know how to write */
const NOT_PLAIN = Symbol('not plain')

/**
 * The value with its bytes in Baileys' notation; itself when there are none in it.
 * @param {any} value
 * @returns {any}
 */
function plainOf(value) {
  if (typeof value === 'function') return NOT_PLAIN // it may be a `toJSON`
  if (value === 'Buffer') return NOT_PLAIN // it may be the `type` of bytes in the notation already
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Uint8Array) return { type: 'Buffer', data: base64Of(value) }
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== Array.prototype && prototype !== null) return NOT_PLAIN
  let copy = value
  for (const key of Object.keys(value)) {
    const member = value[key]
    const plain = plainOf(member)
    if (plain === member) continue
    if (plain === NOT_PLAIN || key === '__proto__') return NOT_PLAIN
    if (copy === value) copy = Array.isArray(value) ? [...value] : { ...value }
    copy[key] = plain
  }
  return copy
}

/** @param {Uint8Array} bytes */
function base64Of(bytes) {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}
