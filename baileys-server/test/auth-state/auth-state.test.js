import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { initAuthCreds } from '@whiskeysockets/baileys'
import { AuthState, UnusableCreds } from '../../src/auth-state/auth-state.js'
import { encode } from '../../src/auth-state/codec.js'
import { FakeClock, settled } from '../support/clock.js'
import { MemoryStore, failure } from '../support/store.js'

const PAIRED = { me: { id: '1:2@s.whatsapp.net', lid: '9:2@lid', name: 'x' }, account: { details: Buffer.from('d') } }

let clock, store, degraded, parts

beforeEach(() => {
  clock = new FakeClock()
  store = new MemoryStore()
  degraded = []
  parts = { store, clock, onClosed: () => {}, onDegraded: (...change) => degraded.push(change), messageIn: () => null }
})

test('an unpaired identity writes nothing, not even after a pairing code set its number', async () => {
  const authState = AuthState.fresh(parts)
  authState.updateCreds({ pairingCode: 'ABCDEFGH', me: { id: '1@s.whatsapp.net', name: '~' } })
  authState.forBaileys.keys.set({ 'lid-mapping': { a: 'b' } })
  await clock.advance(60_000)
  assert.equal(authState.isPaired, false)
  assert.equal(store.writes.length, 0)
})

test('with the account its creds, and what was held back, are written in one transaction', async () => {
  const authState = AuthState.fresh(parts)
  authState.forBaileys.keys.set({ 'lid-mapping': { a: 'b' } })
  authState.updateCreds(PAIRED)
  await authState.credsDurable()
  assert.equal(store.writes.length, 1)
  assert.deepEqual(store.writes[0].account, { jid: '1:2@s.whatsapp.net', lid: '9:2@lid' })
  assert.deepEqual(store.writes[0].set, [['lid-mapping', 'a', '"b"']])
  assert.equal(JSON.parse(store.writes[0].creds).me.id, '1:2@s.whatsapp.net')
})

test('creds that change right before keys go into the same transaction', async () => {
  const authState = AuthState.restored({ creds: encode({ ...initAuthCreds(), ...PAIRED }), keys: [], complete: true }, parts)
  authState.updateCreds({ nextPreKeyId: 6 })
  await authState.forBaileys.keys.set({ 'pre-key': { 5: { n: 1 } } })
  assert.equal(store.writes.length, 1)
  assert.equal(JSON.parse(store.writes[0].creds).nextPreKeyId, 6)
})

for (const [what, text] of Object.entries({
  'half a document': '{"me":{"id":"1@s.whatsapp.net"',
  'an unpaired identity': encode(initAuthCreds()),
  'a pairing code that was never entered': encode({ ...initAuthCreds(), me: PAIRED.me }),
  'an empty object': '{}',
  null: 'null'
})) {
  test(`${what} is not taken for a paired account`, () => {
    assert.throws(() => AuthState.restored({ creds: text, keys: [], complete: true }, parts), UnusableCreds)
  })
}

test('it is degraded from the first failed attempt to the next success', async () => {
  const authState = AuthState.restored({ creds: encode({ ...initAuthCreds(), ...PAIRED }), keys: [], complete: true }, parts)
  store.write = async (_body, { onAttemptFailed }) => {
    onAttemptFailed(new Error('no answer'))
    throw failure('unreachable')
  }
  await assert.rejects(authState.forBaileys.keys.set({ session: { a: 1 } }))
  assert.deepEqual(degraded, [[true, 'no answer']])
  store.write = async () => {}
  await authState.forBaileys.keys.set({ session: { a: 1 } })
  assert.deepEqual(degraded.at(-1), [false, null])
})

test('a closed auth state refuses and stops repeating', async () => {
  const authState = AuthState.restored({ creds: encode({ ...initAuthCreds(), ...PAIRED }), keys: [], complete: true }, parts)
  let signal
  store.write = (_body, options) => { signal = options.signal; return new Promise(() => {}) }
  const written = authState.forBaileys.keys.set({ session: { a: 1 } })
  await settled()
  authState.close(failure('lease_lost'))
  await assert.rejects(written, { code: 'lease_lost' })
  await assert.rejects(authState.forBaileys.keys.set({ session: { b: 1 } }), { code: 'lease_lost' })
  assert.equal(signal.aborted, true)
})

for (const code of ['lease_lost', 'auth_state_corrupt']) {
  test(`${code} as the answer to a read closes the session too`, async () => {
    let closedBy
    const authState = AuthState.restored({ creds: encode({ ...initAuthCreds(), ...PAIRED }), keys: [], complete: false },
      { ...parts, onClosed: error => { closedBy = error } })
    store.readError = failure(code)
    await assert.rejects(authState.forBaileys.keys.get('session', ['a']), { code })
    assert.equal(closedBy.code, code)
  })
}
