import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { initAuthCreds } from '@whiskeysockets/baileys'
import { AuthState } from '../../src/auth-state/auth-state.js'
import { digest, encode } from '../../src/auth-state/codec.js'
import { VerificationBackup } from '../../src/auth-state/verification.js'
import { FakeClock, settled } from '../support/clock.js'
import { MemoryStore, failure } from '../support/store.js'
import { Polls } from '../../src/messages/polls.js'

const TIMING = { initialDelayMs: 10_000, throttleMs: 30_000, intervalMs: 300_000 }

let clock, store, authState, calls, results, failures, backup

beforeEach(async () => {
  clock = new FakeClock()
  store = new MemoryStore()
  calls = []
  results = []
  failures = []
  const creds = encode({ ...initAuthCreds(), me: { id: '1@s.whatsapp.net', name: 'x' }, account: { details: Buffer.from('d') } })
  store.creds = creds
  store.keys.set('session a', '"1"').set('session b', '"2"')
  authState = AuthState.restored({ creds, account: { jid: '1@s.whatsapp.net', lid: null } }, { store, journal: null, writeRetries: 0, clock, onClosed: () => {}, onDegraded: () => {}, onLost: () => {}, messageIn: () => null, polls: new Polls() })
  await authState.wake()
  backup = new VerificationBackup({
    authState,
    verify: async digests => {
      calls.push(digests)
      const differs = ([type, id, wanted]) => {
        const text = store.keys.get(`${type} ${id}`)
        return (text === undefined ? null : digest(text)) !== wanted
      }
      return { creds: digest(store.creds) !== digests.creds, keys: digests.keys.filter(differs).map(([type, id]) => [type, id]) }
    },
    clock,
    timing: TIMING,
    onVerified: result => results.push(result),
    onFailed: error => failures.push(error)
  })
})

test('it is due 10 s after the connection opened and then every 5 minutes', async () => {
  backup.start()
  await clock.advance(9_999)
  assert.equal(calls.length, 0)
  await clock.advance(1)
  assert.equal(calls.length, 1)
  await clock.advance(299_999)
  assert.equal(calls.length, 1)
  await clock.advance(1)
  assert.equal(calls.length, 2)
  assert.deepEqual(results, [{ keys: 2, repaired: { creds: false, keys: 0 } }, { keys: 2, repaired: { creds: false, keys: 0 } }])
})

test('changed creds make it due earlier, at most every 30 s', async () => {
  backup.start()
  await clock.advance(10_000)
  for (let n = 0; n < 60; n++) {
    authState.updateCreds({ nextPreKeyId: n })
    backup.credsUpdated()
    await clock.advance(1000)
  }
  assert.equal(calls.length, 3)
})

test('a closed connection is not verified', async () => {
  backup.start()
  backup.stop()
  backup.credsUpdated()
  await clock.advance(1_000_000)
  assert.equal(calls.length, 0)
})

test('a connection that opens again is verified 10 s later, and changed creds do not bring that forward', async () => {
  backup.start()
  await clock.advance(5_000)
  backup.credsUpdated()
  await clock.advance(4_999)
  assert.equal(calls.length, 0)
  backup.stop()
  await clock.advance(60_000)
  backup.start()
  await clock.advance(10_000)
  assert.equal(calls.length, 1)
  backup.stop()
  backup.start()
  await clock.advance(9_999)
  assert.equal(calls.length, 1)
  await clock.advance(1)
  assert.equal(calls.length, 2)
})

test('changed creds make one run due 30 s after the last, and the next regular one 5 minutes after that', async () => {
  backup.start()
  await clock.advance(10_000)
  await clock.advance(5_000)
  backup.credsUpdated()
  await clock.advance(24_999)
  assert.equal(calls.length, 1)
  await clock.advance(1)
  assert.equal(calls.length, 2)
  await clock.advance(299_999)
  assert.equal(calls.length, 2)
  await clock.advance(1)
  assert.equal(calls.length, 3)
})

test('what differs is written again and counted', async () => {
  store.keys.set('session a', '"lost"')
  store.keys.delete('session b')
  store.creds = 'something else'
  backup.start()
  await clock.advance(10_000)
  assert.deepEqual(results, [{ keys: 2, repaired: { creds: true, keys: 2 } }])
  assert.equal(store.keys.get('session a'), '"1"')
  assert.equal(store.keys.get('session b'), '"2"')
  assert.equal(store.creds, encode(authState.creds))
})

test('a key that is held as absent and exists in the store is deleted again', async () => {
  await authState.forBaileys.keys.set({ session: { a: null } })
  store.keys.set('session a', '"risen"')
  backup.start()
  await clock.advance(10_000)
  assert.equal(store.keys.has('session a'), false)
})

test('what changed while the digests were compared is left alone', async () => {
  store.open = false
  const verify = { started: null }
  backup = new VerificationBackup({
    authState, clock, timing: TIMING, onVerified: result => results.push(result), onFailed: error => failures.push(error),
    verify: () => new Promise(resolve => { verify.answer = resolve })
  })
  backup.start()
  await clock.advance(10_000)
  authState.forBaileys.keys.set({ session: { a: 'newer' } })
  await settled()
  verify.answer({ creds: false, keys: [['session', 'a']] })
  await settled()
  assert.deepEqual(results, [{ keys: 2, repaired: { creds: false, keys: 0 } }])
  assert.equal(store.writes.length, 1)
})

test('a run that finds writes under way compares nothing and comes again 30 s later', async () => {
  const snapshot = authState.snapshot
  authState.snapshot = () => null
  backup.start()
  await clock.advance(39_999)
  assert.deepEqual([results, failures, calls], [[], [], []])
  authState.snapshot = snapshot
  await clock.advance(1)
  assert.equal(results.length, 1)
})

test('a failure is told and the next run comes as usual', async () => {
  store.creds = null
  backup = new VerificationBackup({
    authState, clock, timing: TIMING, onVerified: result => results.push(result), onFailed: error => failures.push(error),
    verify: async () => { throw failure('unreachable') }
  })
  backup.start()
  await clock.advance(310_000)
  assert.equal(failures.length, 2)
})

test('many keys are compared in calls of at most 2000', async () => {
  await authState.forBaileys.keys.set({ 'lid-mapping': Object.fromEntries(Array.from({ length: 4500 }, (_, n) => [`n${n}`, 'x'])) })
  backup.start()
  await clock.advance(10_000)
  assert.deepEqual(calls.map(call => call.keys.length), [2000, 2000, 502])
})
