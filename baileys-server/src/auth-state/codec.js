import { createHash } from 'node:crypto'
import { BufferJSON, proto } from '@whiskeysockets/baileys'

/**
 * Creds and signal keys travel and rest as JSON text in Baileys' own notation for bytes (`BufferJSON`). The set of key
 * types is open: a type that a later Baileys adds needs nothing here, unless it wants its protobuf class back.
 */

/** @param {unknown} value */
export function encode(value) {
  return JSON.stringify(value, BufferJSON.replacer)
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
