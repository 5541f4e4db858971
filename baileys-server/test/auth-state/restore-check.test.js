import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Curve, initAuthCreds } from '@whiskeysockets/baileys'
import { encode } from '../../src/auth-state/codec.js'
import { UnusableCreds, checkIdentity, credsOf, missingKeys } from '../../src/auth-state/restore-check.js'

const ACCOUNT = { jid: '5511999990000:7@s.whatsapp.net', lid: null }
const paired = (changes = {}) => ({ ...initAuthCreds(), me: { id: ACCOUNT.jid, name: 'x' }, account: { details: Buffer.from('d') }, ...changes })

test('the creds of the recorded account are taken, whatever the device number', () => {
  const creds = credsOf(encode(paired()), ACCOUNT)
  checkIdentity(creds)
  assert.equal(creds.me.id, ACCOUNT.jid)
  assert.ok(credsOf(encode(paired()), { jid: '5511999990000@s.whatsapp.net' }))
})

for (const name of ['noiseKey', 'signedIdentityKey']) {
  for (const [what, pair] of Object.entries({
    'whose halves do not belong together': { ...Curve.generateKeyPair(), public: Curve.generateKeyPair().public },
    'that is cut off': { private: Buffer.alloc(5), public: Buffer.alloc(32) },
    'without a public half': { private: Curve.generateKeyPair().private }
  })) {
    test(`a ${name} ${what} is refused`, () => {
      const creds = credsOf(encode(paired({ [name]: pair })), ACCOUNT)
      assert.throws(() => checkIdentity(creds), new UnusableCreds(`The two halves of the stored ${name} do not belong together.`))
    })
  }
}

test('the creds of another account are refused', () => {
  assert.throws(() => credsOf(encode(paired()), { jid: '5511888880000:7@s.whatsapp.net' }), UnusableCreds)
  assert.throws(() => credsOf(encode(paired()), { jid: '' }), UnusableCreds)
})

const keysOf = (...names) => ({ get: async (type, ids) => Object.fromEntries(ids.filter(id => names.includes(`${type} ${id}`)).map(id => [id, {}])) })

test('the newest pre-key and the app-state key are looked for', async () => {
  const creds = paired({ nextPreKeyId: 813, myAppStateKeyId: 'AAAA' })
  assert.deepEqual(await missingKeys(creds, keysOf('pre-key 812', 'app-state-sync-key AAAA')), [])
  assert.deepEqual(await missingKeys(creds, keysOf('pre-key 812')), ['app-state-sync-key'])
  assert.deepEqual(await missingKeys(creds, keysOf('pre-key 700', 'app-state-sync-key AAAA')), ['pre-key'])
})

test('a newest pre-key that was used is no alarm, and an account that has made none yet neither', async () => {
  assert.deepEqual(await missingKeys(paired({ nextPreKeyId: 813 }), keysOf('pre-key 810')), [])
  assert.deepEqual(await missingKeys(paired(), keysOf()), [])
})
