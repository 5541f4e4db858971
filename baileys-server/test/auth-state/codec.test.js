import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BufferJSON, initAuthCreds, proto } from '@whiskeysockets/baileys'
import { decode, decodeKey, digest, encode } from '../../src/auth-state/codec.js'

test('creds survive the round trip, bytes and all, and the text stays the same', () => {
  const creds = { ...initAuthCreds(), me: { id: '5511999990000:1@s.whatsapp.net', name: 'Loja ☕' } }
  const text = encode(creds)
  const restored = decode(text)
  assert.deepEqual(Buffer.from(restored.noiseKey.private), Buffer.from(creds.noiseKey.private))
  assert.equal(restored.me.name, 'Loja ☕')
  assert.equal(encode(restored), text)
})

test('every type of key that Baileys writes survives, an unknown one too', () => {
  const values = {
    'pre-key': { public: Buffer.from([1]), private: Buffer.from([2]) },
    session: { _sessions: { 'BQ==': { registrationId: 1 } }, version: 'v1' },
    'sender-key': Buffer.from('[]'),
    'lid-mapping': '100000000000002',
    'device-list': ['0', '12'],
    'identity-key': new Uint8Array([5, 6, 7]),
    'sender-key-memory': { '1@lid': true },
    'a-type-of-next-year': { n: 1 }
  }
  for (const [type, value] of Object.entries(values)) {
    const restored = decodeKey(type, encode(value))
    if (value instanceof Uint8Array) assert.deepEqual(Buffer.from(restored), Buffer.from(value))
    else assert.deepEqual(restored, value)
  }
})

test('the text is the one that Baileys writes itself', () => {
  const bytes = new Uint8Array(new ArrayBuffer(8), 2, 3).fill(9)
  const withPrototype = Object.assign(Object.create({ inherited: 1 }), { own: 2 })
  const values = [
    initAuthCreds(), bytes, Buffer.from('x'), { deep: [{ bytes }, Buffer.alloc(0)] }, Object.assign(Object.create(null), { bytes }),
    { type: 'Buffer', data: 'AQI=' }, { type: 'Buffer', data: [1, 2] }, { text: 'Buffer' }, { missing: undefined, none: null, list: [undefined, bytes] },
    JSON.parse('{"__proto__": {"bytes": 1}, "a": 1}'), Object.assign(JSON.parse('{"__proto__": 1}'), { bytes }),
    proto.Message.AppStateSyncKeyData.create({ keyData: bytes, timestamp: 1 }), new Date(0), { toJSON: () => 'told' }, withPrototype,
    { 2: bytes, 1: bytes, b: 1 }, 'text', 7, true, null, [], {}
  ]
  for (const value of values) assert.equal(encode(value), JSON.stringify(value, BufferJSON.replacer))
})

test('an app state sync key is a protobuf object again', () => {
  const key = proto.Message.AppStateSyncKeyData.create({ keyData: Buffer.alloc(32, 7), timestamp: 1_766_000_000, fingerprint: { rawId: 3 } })
  const restored = decodeKey('app-state-sync-key', encode(key))
  assert.ok(restored instanceof proto.Message.AppStateSyncKeyData)
  assert.deepEqual(Buffer.from(restored.keyData), Buffer.alloc(32, 7))
  assert.equal(Number(restored.timestamp), 1_766_000_000)
})

test('a digest is the SHA-256 of the UTF-8 text', () => {
  assert.equal(digest(''), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
})
