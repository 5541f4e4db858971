import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { KeyStore } from '../../src/auth-state/key-store.js'
import { WriteQueue } from '../../src/auth-state/write-queue.js'
import { FakeClock, settled } from '../support/clock.js'
import { MemoryStore, failure } from '../support/store.js'

let store, keys

function newKeyStore(options = {}) {
  const queue = new WriteQueue({
    clock: new FakeClock(),
    journal: null,
    retries: 0,
    write: request => store.write(request),
    onCommitted: changes => keyStore.committed(changes),
    onFailed: changes => keyStore.forget(changes),
    onClosed: () => {}, onDegraded: () => {}, onLost: () => {}
  })
  const keyStore = new KeyStore({ queue, read: (type, ids) => store.read(type, ids), ...options })
  return keyStore
}

beforeEach(() => {
  store = new MemoryStore()
  keys = newKeyStore()
})

test('a write is seen by every reader before it is durable', async () => {
  store.open = false
  const written = keys.set({ session: { a: { n: 1 } } })
  assert.deepEqual(await keys.get('session', ['a']), { a: { n: 1 } })
  await settled()
  store.waiting[0].succeed()
  await written
  assert.deepEqual(await keys.get('session', ['a']), { a: { n: 1 } })
  assert.deepEqual(store.reads, [])
})

test('the cache is filled only with what is durable: a failed write is forgotten and the store is asked', async () => {
  store.keys.set('session a', '{"n":0}')
  await keys.get('session', ['a'])
  store.open = false
  const written = keys.set({ session: { a: { n: 1 } } })
  await settled()
  store.waiting[0].fail(failure('unreachable'))
  await assert.rejects(written, { code: 'unreachable' })
  assert.deepEqual(await keys.get('session', ['a']), { a: { n: 0 } })
  assert.equal(store.reads.length, 2)
})

test('absent is not failed', async () => {
  assert.deepEqual(await keys.get('session', ['a']), {})
  store.readError = failure('database_unavailable')
  await assert.rejects(keys.get('session', ['b']), { code: 'database_unavailable' })
  store.readError = null
  assert.deepEqual(await keys.get('session', ['b']), {})
})

test('absence is remembered, because nobody else writes', async () => {
  await keys.get('tctoken', ['a'])
  await keys.get('tctoken', ['a'])
  assert.equal(store.reads.length, 1)
  await keys.set({ tctoken: { a: { n: 1 } } })
  assert.deepEqual(await keys.get('tctoken', ['a']), { a: { n: 1 } })
})

test('reads of one type in the same tick are one call', async () => {
  store.keys.set('session a', '1')
  const results = await Promise.all([keys.get('session', ['a', 'b']), keys.get('session', ['b', 'c']), keys.get('pre-key', ['1'])])
  assert.deepEqual(results, [{ a: 1 }, {}, {}])
  assert.deepEqual(store.reads, [['session', ['a', 'b', 'c']], ['pre-key', ['1']]])
})

test('no two readers share an object', async () => {
  await keys.set({ 'sender-key-memory': { g: { x: true } } })
  const { g } = await keys.get('sender-key-memory', ['g'])
  g.y = true
  assert.deepEqual(await keys.get('sender-key-memory', ['g']), { g: { x: true } })
})

test('a write that overtakes a read wins', async () => {
  store.keys.set('session a', '"old"')
  const read = keys.get('session', ['a'])
  await keys.set({ session: { a: null } })
  assert.deepEqual(await read, {})
  assert.deepEqual(await keys.get('session', ['a']), {})
})

test('what is durable already costs no write', async () => {
  await keys.set({ 'sender-key-memory': { g: { x: true } } })
  await keys.set({ 'sender-key-memory': { g: { x: true } } })
  await keys.get('session', ['gone'])
  await keys.set({ session: { gone: null } })
  assert.equal(store.writes.length, 1)
})

test('after a complete prefetch a miss is proven absent without a call, but not for pre-keys', async () => {
  keys.prefetched([['session', 'a', '1']], true)
  assert.deepEqual(await keys.get('session', ['a', 'b']), { a: 1 })
  assert.equal(store.reads.length, 0)
  store.keys.set('pre-key 7', '7')
  assert.deepEqual(await keys.get('pre-key', ['7']), { 7: 7 })
})

test('what had to leave the cache is asked for again, and absence is not assumed any more', async () => {
  keys = newKeyStore({ cacheBytes: 2000 })
  for (let n = 0; n < 20; n++) store.keys.set(`session s${n}`, JSON.stringify('x'.repeat(200)))
  keys.prefetched(store.loaded, true)
  for (let n = 0; n < 20; n++) assert.deepEqual(await keys.get('session', [`s${n}`]), { [`s${n}`]: 'x'.repeat(200) })
  assert.ok(store.reads.length > 0)
})

test('the newest of a prefetch that does not fit are kept', async () => {
  keys = newKeyStore({ cacheBytes: 2000 })
  keys.prefetched(Array.from({ length: 20 }, (_, n) => ['session', `s${n}`, JSON.stringify('x'.repeat(200))]), false)
  await keys.get('session', ['s0'])
  assert.equal(store.reads.length, 0)
})
