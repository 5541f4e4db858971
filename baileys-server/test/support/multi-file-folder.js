/**
 * Baileys' own file store, for the tests of moving in and out.
 *
 *   node multi-file-folder.js make FOLDER    a paired auth state with a key of every type; prints it
 *   node multi-file-folder.js read FOLDER    prints what Baileys finds there under the names [[type, id], ...] on stdin
 *
 * Printed is {creds: text, keys: [[type, id, text], ...]}, texts as Baileys writes them.
 */
import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { text } from 'node:stream/consumers'
import { BufferJSON, Curve, proto, useMultiFileAuthState } from '@whiskeysockets/baileys'

const [command, folder] = process.argv.slice(2)
const { state, saveCreds } = await useMultiFileAuthState(folder)

/** @type {Record<string, Record<string, any>>} */
const everyType = {
  'pre-key': { 1: Curve.generateKeyPair(), 2: Curve.generateKeyPair() },
  session: { '5511988887777.0': { _sessions: {}, version: 'v1' }, '100000000000002_1.12': { _sessions: {}, version: 'v1' } },
  'sender-key': {
    '120363000000000001@g.us::100000000000002_1::0': Buffer.from('[]'),
    '5511988887777-1408765432@g.us::5511988887777::12': Buffer.from('[]')
  },
  'sender-key-memory': { '120363000000000001@g.us': { '100000000000002:0@lid': true } },
  'app-state-sync-key': { 'AAA/+//8': proto.Message.AppStateSyncKeyData.fromObject({ keyData: randomBytes(32), timestamp: 1 }) },
  'app-state-sync-version': { critical_unblock_low: { version: 3, hash: randomBytes(128), indexValueMap: {} } },
  'lid-mapping': { 5511988887777: '100000000000002', '100000000000002_reverse': '5511988887777' },
  'device-list': { 5511988887777: ['0', '12'] },
  tctoken: { __index: { token: Buffer.alloc(0) }, '100000000000002@lid': { token: randomBytes(8), timestamp: '1' } },
  'identity-key': { '100000000000002_1.0': new Uint8Array(randomBytes(33)) }
}

if (command === 'make') {
  Object.assign(state.creds, {
    me: { id: '5511999990000:7@s.whatsapp.net', lid: '100000000000001:7@lid', name: 'Loja' },
    account: { details: randomBytes(8), accountSignatureKey: randomBytes(32) }
  })
  await saveCreds()
  await state.keys.set(everyType)
}
const names =
  command === 'make'
    ? Object.entries(everyType).flatMap(([type, values]) => Object.keys(values).map(id => [type, id]))
    : JSON.parse(await text(process.stdin))
const keys = []
for (const [type, id] of names) {
  const value = command === 'make' ? everyType[type]?.[id] : (await state.keys.get(type, [id]))[id]
  keys.push([type, id, JSON.stringify(value, BufferJSON.replacer)])
}
process.stdout.write(JSON.stringify({ creds: JSON.stringify(state.creds, BufferJSON.replacer), keys }))
