import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { WriteQueue } from '../../src/auth-state/write-queue.js'
import { FakeClock, settled } from '../support/clock.js'
import { failure } from '../support/store.js'

const ACCOUNT = { jid: '1@s.whatsapp.net', lid: null }

let clock, underWay, batches, committed, forgotten, closedBy, queue

function newQueue(options = {}) {
  return new WriteQueue({
    clock,
    write: batch => {
      batches.push(batch)
      return new Promise((resolve, reject) => { underWay = { resolve, reject } })
    },
    onCommitted: keys => committed.push(...keys),
    onFailed: keys => forgotten.push(...keys),
    onClosed: error => { closedBy = error },
    ...options
  })
}

beforeEach(() => {
  clock = new FakeClock()
  batches = []
  committed = []
  forgotten = []
  closedBy = null
  queue = newQueue()
})

const outcome = promise => promise.then(() => 'durable', error => error.code ?? error.message)
const state = async promise => {
  let known = 'waiting'
  outcome(promise).then(result => { known = result })
  await settled()
  return known
}

test('a change is durable only after the store said so', async () => {
  const change = queue.enqueue({ keys: [['session', 'a', '1']] })
  assert.equal(await state(change), 'waiting')
  assert.equal(queue.pendingValue('session', 'a'), '1')
  underWay.resolve()
  assert.equal(await state(change), 'durable')
  assert.equal(queue.pendingValue('session', 'a'), undefined)
  assert.deepEqual(committed, [['session', 'a', '1']])
})

test('what changes in the same moment is one write, creds included', async () => {
  queue.enqueue({ creds: { text: 'c1', account: ACCOUNT } })
  await Promise.resolve()
  queue.enqueue({ keys: [['pre-key', '1', 'x']] })
  queue.enqueue({ sentMessages: [['m1', 'AA==']] })
  await settled()
  assert.deepEqual(batches, [{ creds: 'c1', account: ACCOUNT, keys: [['pre-key', '1', 'x']], sentMessages: [['m1', 'AA==']] }])
})

test('at most one write is under way; the rest becomes one next write with the newest of each', async () => {
  queue.enqueue({ keys: [['session', 'a', '1']] })
  await settled()
  queue.enqueue({ keys: [['session', 'a', '2'], ['session', 'b', '1']], creds: { text: 'c1', account: ACCOUNT } })
  queue.enqueue({ keys: [['session', 'a', null]] })
  queue.enqueue({ keys: [['session', 'b', null]], creds: { text: 'c2', account: ACCOUNT } })
  const last = queue.enqueue({ keys: [['session', 'b', '3']] })
  await settled()
  assert.equal(batches.length, 1)
  assert.equal(queue.pendingValue('session', 'a'), null)
  underWay.resolve()
  await settled()
  assert.deepEqual(batches[1].keys, [['session', 'a', null], ['session', 'b', '3']])
  assert.equal(batches[1].creds, 'c2')
  underWay.resolve()
  assert.equal(await state(last), 'durable')
})

test('a failed write rejects its keys and lets the next ones go on', async () => {
  const first = queue.enqueue({ keys: [['session', 'a', '1']] })
  await settled()
  const second = queue.enqueue({ keys: [['session', 'b', '1']] })
  underWay.reject(failure('unreachable'))
  assert.equal(await state(first), 'unreachable')
  assert.deepEqual(forgotten, [['session', 'a', '1']])
  assert.equal(queue.pendingValue('session', 'a'), undefined)
  assert.deepEqual(batches[1].keys, [['session', 'b', '1']])
  underWay.resolve()
  assert.equal(await state(second), 'durable')
})

test('creds and sent messages stay dirty until they are durable, alone or with the next change', async () => {
  queue.enqueue({ creds: { text: 'c1', account: ACCOUNT }, keys: [['session', 'a', '1']], sentMessages: [['m1', 'AA==']] })
  const durable = queue.credsDurable()
  await settled()
  underWay.reject(failure('unreachable'))
  await settled()
  assert.equal(batches.length, 1)
  await clock.advance(5000)
  assert.deepEqual(batches[1], { creds: 'c1', account: ACCOUNT, keys: [], sentMessages: [['m1', 'AA==']] })
  underWay.reject(failure('unreachable'))
  await settled()
  queue.enqueue({ keys: [['session', 'b', '1']] })
  await settled()
  assert.deepEqual(batches[2], { creds: 'c1', account: ACCOUNT, keys: [['session', 'b', '1']], sentMessages: [['m1', 'AA==']] })
  assert.equal(await state(durable), 'waiting')
  underWay.resolve()
  assert.equal(await state(durable), 'durable')
})

test('newer creds replace the dirty ones', async () => {
  queue.enqueue({ creds: { text: 'c1', account: ACCOUNT } })
  await settled()
  queue.enqueue({ creds: { text: 'c2', account: ACCOUNT } })
  underWay.reject(failure('unreachable'))
  await clock.advance(5000)
  assert.equal(batches[1].creds, 'c2')
})

for (const code of ['lease_lost', 'auth_state_corrupt']) {
  test(`${code} ends the queue: everything is rejected and nothing is written any more`, async () => {
    const first = queue.enqueue({ creds: { text: 'c1', account: ACCOUNT } })
    const durable = queue.credsDurable()
    await settled()
    const second = queue.enqueue({ keys: [['session', 'b', '1']] })
    underWay.reject(failure(code))
    assert.deepEqual(await Promise.all([first, second, durable, queue.drained()].map(outcome)), [code, code, code, code])
    assert.equal(closedBy.code, code)
    assert.equal(await outcome(queue.enqueue({ keys: [['session', 'c', '1']] })), code)
    await clock.advance(60_000)
    assert.equal(batches.length, 1)
  })
}

test('drained waits for all that was enqueued until now, and not for more', async () => {
  queue.enqueue({ keys: [['session', 'a', '1']] })
  await settled()
  queue.enqueue({ keys: [['session', 'b', '1']] })
  const drained = queue.drained()
  underWay.resolve()
  assert.equal(await state(drained), 'waiting')
  queue.enqueue({ keys: [['session', 'c', '1']] })
  underWay.resolve()
  assert.equal(await state(drained), 'durable')
})

test('a held queue writes nothing before its release', async () => {
  queue = newQueue({ held: true })
  const change = queue.enqueue({ keys: [['session', 'a', '1']] })
  assert.equal(await state(change), 'waiting')
  assert.equal(batches.length, 0)
  queue.release()
  await settled()
  assert.equal(batches.length, 1)
})

test('a batch stays well below the limit of a body', async () => {
  const large = 'x'.repeat(5 * 1024 * 1024)
  queue.enqueue({ keys: [['sender-key', '0', 'x']] })
  await settled()
  for (const id of ['1', '2', '3']) queue.enqueue({ keys: [['sender-key', id, large]] })
  underWay.resolve()
  await settled()
  assert.deepEqual(batches[1].keys.map(([, id]) => id), ['1', '2'])
})
