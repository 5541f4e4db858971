import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { WriteQueue } from '../../src/auth-state/write-queue.js'
import { FakeClock, settled } from '../support/clock.js'
import { failure } from '../support/store.js'

const ACCOUNT = { jid: '1@s.whatsapp.net', lid: null }

let clock, underWay, batches, committed, forgotten, closedBy, degraded, lost, queue

/** A store that takes after the current turn, as a lane does; `fail` ends an attempt that is repeated at once. */
function write({ take, attemptFailed }) {
  return new Promise((resolve, reject) => {
    const attempt = () => {
      const batch = take()
      if (!batch) return resolve()
      batches.push(batch)
      underWay = { resolve, reject, fail: (error, downMs) => { attemptFailed(error, downMs); setImmediate(attempt) } }
    }
    setImmediate(attempt)
  })
}

/** A store that answers each write at once. @param {(batch: any) => void} check throws what the store refuses */
const answering = check => async ({ take }) => {
  await new Promise(resolve => setImmediate(resolve))
  const batch = take()
  if (!batch) return
  batches.push(batch)
  check(batch)
}

const keysOf = batch => [...batch.set, ...batch.delete.map(([type, id]) => [type, id, null])]
const only = parts => ({ creds: null, account: null, set: [], delete: [], sent_messages: [], incoming_messages: [], ...parts })

function newQueue(options = {}) {
  return new WriteQueue({
    clock,
    write,
    retries: 0,
    journal: null,
    onCommitted: keys => committed.push(...keys),
    onFailed: keys => forgotten.push(...keys),
    onClosed: error => { closedBy = error },
    onDegraded: (isDegraded, reason) => degraded.push([isDegraded, reason]),
    onLost: error => lost.push(error.message),
    ...options
  })
}

beforeEach(() => {
  clock = new FakeClock()
  batches = []
  committed = []
  forgotten = []
  closedBy = null
  degraded = []
  lost = []
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
  queue.enqueue({ sentMessages: [['m1', 'AA==']], incoming: [['k1', '{}']] })
  await settled()
  assert.deepEqual(batches, [only({ creds: 'c1', account: ACCOUNT, set: [['pre-key', '1', 'x']], sent_messages: [['m1', 'AA==']],
    incoming_messages: [['k1', '{}']] })])
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
  assert.deepEqual(keysOf(batches[1]), [['session', 'b', '3'], ['session', 'a', null]])
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
  assert.deepEqual(keysOf(batches[1]), [['session', 'b', '1']])
  underWay.resolve()
  assert.equal(await state(second), 'durable')
})

test('creds and messages stay dirty until they are durable, alone or with the next change', async () => {
  queue.enqueue({ creds: { text: 'c1', account: ACCOUNT }, keys: [['session', 'a', '1']], sentMessages: [['m1', 'AA==']], incoming: [['k1', '{}']] })
  const durable = queue.credsDurable()
  await settled()
  underWay.reject(failure('unreachable'))
  await settled()
  assert.equal(batches.length, 1)
  await clock.advance(5000)
  const dirty = only({ creds: 'c1', account: ACCOUNT, sent_messages: [['m1', 'AA==']], incoming_messages: [['k1', '{}']] })
  assert.deepEqual(batches[1], dirty)
  underWay.reject(failure('unreachable'))
  await settled()
  queue.enqueue({ keys: [['session', 'b', '1']] })
  await settled()
  assert.deepEqual(batches[2], { ...dirty, set: [['session', 'b', '1']] })
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
  assert.deepEqual(keysOf(batches[1]).map(([, id]) => id), ['1'])
})

test('drained rejects when an earlier one of the open batches failed', async () => {
  queue.enqueue({ keys: [['session', 'a', '1']] })
  await settled()
  queue.enqueue({ keys: [['session', 'b', '1']] })
  const drained = outcome(queue.drained())
  underWay.reject(failure('unreachable'))
  await settled()
  underWay.resolve()
  assert.equal(await drained, 'unreachable')
})

test('dirty sent messages keep the newest four MiB and count in the batch that they join', async () => {
  const size = batch => JSON.stringify(batch).length
  for (let n = 0; n < 600; n++) {
    queue.enqueue({ keys: [['session', 'a', String(n)]], sentMessages: [[`m${n}`, 'x'.repeat(88_000)]] })
    if (n % 50 > 0) continue
    await settled()
    underWay.reject(failure('unreachable'))
  }
  for (let n = 0; n < 10; n++) {
    await settled()
    underWay.reject(failure('unreachable'))
  }
  await clock.advance(1000)
  assert.ok(Math.max(...batches.map(size)) < 20 * 2 ** 20)
  assert.ok(size(batches.at(-1)) < 5 * 2 ** 20)
  assert.equal(batches.at(-1).sent_messages.at(-1)[0], 'm599')
})

const refused = () => Object.assign(failure('invalid_request'), { status: 422 })

test('a refused write is done change by change: one bad value costs only its own caller', async () => {
  queue = newQueue({ write: answering(batch => {
    if (batch.set.some(([, id]) => id === 'bad') || batch.sent_messages.some(([id]) => id === 'bad')) throw refused()
  }) })
  const good = queue.enqueue({ keys: [['session', 'a', '1']] })
  const bad = queue.enqueue({ keys: [['session', 'b', '1'], ['pre-key', 'bad', '1']], awaited: true })
  const later = queue.enqueue({ keys: [['session', 'a', '2']] })
  const drained = queue.drained()
  assert.deepEqual(await Promise.all([good, bad, later, drained].map(outcome)), ['durable', 'invalid_request', 'durable', 'durable'])
  assert.deepEqual(committed, [['session', 'a', '1'], ['session', 'a', '2']])
  assert.deepEqual(forgotten, [['session', 'b', '1'], ['pre-key', 'bad', '1']])
  queue.enqueue({ sentMessages: [['bad', 'AA==']] })
  queue.enqueue({ keys: [['session', 'a', '3']] })
  assert.equal(await outcome(queue.drained()), 'invalid_request')
  await settled()
  assert.ok(queue.isQuiet)
})

test('refused creds stay dirty and do not hold up anybody', async () => {
  queue = newQueue({ write: answering(batch => {
    if (batch.creds === 'bad') throw refused()
  }) })
  queue.enqueue({ creds: { text: 'bad', account: ACCOUNT } })
  const keys = [1, 2, 3].map(n => queue.enqueue({ keys: [['session', String(n), 'x']] }))
  assert.deepEqual(await Promise.all(keys.map(outcome)), ['durable', 'durable', 'durable'])
  await settled()
  const writes = batches.length
  await settled(50)
  assert.equal(batches.length, writes)
  assert.ok(queue.credsAreDirty)
  await clock.advance(1000)
  assert.equal(batches.length, writes + 1)
})

test('without a journal a write is given its retries, and then it has failed', async () => {
  queue = newQueue({ retries: 3 })
  const change = queue.enqueue({ keys: [['session', 'a', '1']] })
  for (const downMs of [0, 2000, 6000]) {
    await settled()
    underWay.fail(failure('unreachable'), downMs)
    assert.equal(await state(change), 'waiting')
  }
  underWay.fail(failure('unreachable'), 12_000)
  assert.equal(await state(change), 'unreachable')
  assert.deepEqual(degraded, [[true, 'unreachable']])
  const next = queue.enqueue({ keys: [['session', 'b', '1']] })
  await settled()
  underWay.resolve()
  assert.equal(await state(next), 'durable')
  assert.deepEqual(degraded.at(-1), [false, null])
})
