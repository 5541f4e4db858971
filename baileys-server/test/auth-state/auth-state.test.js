import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { initAuthCreds } from '@whiskeysockets/baileys'
import { AuthState } from '../../src/auth-state/auth-state.js'
import { encode } from '../../src/auth-state/codec.js'
import { UnusableCreds } from '../../src/auth-state/restore-check.js'
import { FakeClock, settled } from '../support/clock.js'
import { MemoryStore, failure } from '../support/store.js'
import { Polls } from '../../src/messages/polls.js'

const PAIRED = { me: { id: '1:2@s.whatsapp.net', lid: '9:2@lid', name: 'x' }, account: { details: Buffer.from('d') } }
const ACCOUNT = { jid: '1:2@s.whatsapp.net', lid: '9:2@lid' }

const restored = (others = {}) =>
  AuthState.restored({ creds: encode({ ...initAuthCreds(), ...PAIRED }), account: ACCOUNT }, { ...parts, ...others })

let clock, store, degraded, parts

beforeEach(() => {
  clock = new FakeClock()
  store = new MemoryStore()
  degraded = []
  parts = { store, journal: null, writeRetries: 0, clock, onClosed: () => {}, onDegraded: (...change) => degraded.push(change), onLost: () => {}, messageIn: () => null, polls: new Polls() }
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
  const authState = restored()
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
    assert.throws(() => AuthState.restored({ creds: text, account: ACCOUNT }, parts), UnusableCreds)
  })
}

test('without a journal it is degraded from the first failed attempt to the next success', async () => {
  const authState = restored()
  store.write = async ({ take, attemptFailed }) => {
    while (take()) attemptFailed(new Error('no answer'), 0)
  }
  await assert.rejects(authState.forBaileys.keys.set({ session: { a: 1 } }), { message: 'no answer' })
  assert.deepEqual(degraded, [[true, 'no answer']])
  assert.equal(authState.degraded, true)
  store.write = async ({ take }) => { take() }
  await authState.forBaileys.keys.set({ session: { a: 1 } })
  assert.deepEqual(degraded.at(-1), [false, null])
})

test('a closed auth state refuses, and writes nothing any more', async () => {
  const authState = restored()
  let request
  store.write = asked => { request = asked; return new Promise(() => {}) }
  const written = authState.forBaileys.keys.set({ session: { a: 1 } })
  await settled()
  authState.close(failure('lease_lost'))
  await assert.rejects(written, { code: 'lease_lost' })
  await assert.rejects(authState.forBaileys.keys.set({ session: { b: 1 } }), { code: 'lease_lost' })
  assert.equal(request.take(), null)
})

test('a read waits for the store until it answers or the session is closed', async () => {
  const authState = restored()
  let options
  store.read = (_type, _ids, given) => { options = given; return new Promise(() => {}) }
  authState.forBaileys.keys.get('session', ['a'])
  await settled()
  assert.equal(options.retries, Infinity)
  authState.close(failure('lease_lost'))
  assert.equal(options.signal.aborted, true)
})

for (const code of ['lease_lost', 'auth_state_corrupt']) {
  test(`${code} as the answer to a read closes the session too`, async () => {
    let closedBy
    const authState = restored({ onClosed: error => { closedBy = error } })
    store.readError = failure(code)
    await assert.rejects(authState.forBaileys.keys.get('session', ['a']), { code })
    assert.equal(closedBy.code, code)
  })
}
