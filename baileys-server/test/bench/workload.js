import { readFileSync } from 'node:fs'
import { BufferJSON } from '@whiskeysockets/baileys'

/**
 * What record-workload.js recorded, as Baileys would hand it to a store.
 *
 * @typedef {Record<string, Record<string, any>>} KeySet type -> id -> value, null deletes
 * @typedef {{sets: KeySet[], creds: boolean}} Message what one message writes; `creds`: the creds change too
 * @typedef {{creds: any, pairing: KeySet, messages: Message[]}} Workload
 */

/** Sessions begin this far apart in the recording, so that they don't write the same at the same time. */
const STRIDE = 37

/**
 * @param {string} file
 * @returns {Workload}
 */
export function readWorkload(file) {
  return JSON.parse(readFileSync(file, 'utf8'), BufferJSON.reviver)
}

/**
 * The messages of one session, for ever, from its own offset.
 * @param {Workload} workload
 * @param {number} session
 * @returns {Generator<Message, never>}
 */
export function* messagesOf({ messages }, session) {
  for (let n = session * STRIDE; ; n++) yield messages[n % messages.length]
}

/** @param {KeySet} set */
export function countKeys(set) {
  return Object.values(set).reduce((sum, values) => sum + Object.keys(values).length, 0)
}
