import assert from 'node:assert/strict'
import fs from 'node:fs'
import { afterEach, beforeEach, test } from 'node:test'
import { writeOf } from '../../src/auth-state/batch.js'
import { WriteQueue } from '../../src/auth-state/write-queue.js'
import { OrchestratorClient } from '../../src/orchestrator/client.js'
import { SessionBackup } from '../../src/orchestrator/session-backup.js'
import { JournalRecovery } from '../../src/connections/journal-recovery.js'
import { settled } from '../support/clock.js'
import { JournalFolder } from '../support/journal.js'
import { FakeOrchestrator, TOKEN } from '../support/orchestrator.js'
import { until } from '../support/until.js'

/** Write queue, journal, lane and recovery together, while the orchestrator comes and goes; time stands still between steps. */

const ACCOUNT = { jid: '1@s.whatsapp.net', lid: null }
const LEASE = { sessionRef: 17, generation: 1, epoch: 1 }
const nothing = () => {}

let orchestrator, folder, journal, client, logged, log, degraded, lost, closedBy, stopping

beforeEach(async () => {
  orchestrator = await new FakeOrchestrator().listen()
  folder = new JournalFolder()
  logged = []
  const add = (_fields, event) => logged.push(event)
  log = { debug: add, info: add, warn: add, error: add, child: () => log }
  degraded = []
  lost = []
  closedBy = null
  stopping = new AbortController()
  start()
})

afterEach(async () => {
  client.close()
  folder.remove()
  await orchestrator.close()
})

/** A process: its client and its journal. */
function start({ limit } = {}) {
  client?.close()
  client = new OrchestratorClient({ socketPath: orchestrator.socketPath, token: TOKEN, timeoutMs: 10_000, retries: 0, clock: folder.clock, log })
  journal = folder.open({ limit })
}

function newQueue(lease = LEASE) {
  const backup = new SessionBackup(client, lease)
  return new WriteQueue({
    write: request => backup.write(request), retries: 3, journal: journal.part(lease, nothing), clock: folder.clock, onCommitted: nothing,
    onFailed: nothing, onClosed: error => { closedBy = error }, onDegraded: isDegraded => degraded.push(isDegraded), onLost: error => lost.push(error.code)
  })
}

/** A queue whose session is degraded, with one key in the journal. */
async function degradedQueue(lease) {
  await orchestrator.shut()
  const queue = newQueue(lease)
  const written = queue.enqueue({ keys: [['session', 'a', '1']] })
  await until('the first attempt failed', () => folder.clock.waits.includes(2000))
  await folder.clock.advance(2000)
  await written
  return queue
}

/** Lets the time go on until something is so. */
const later = (what, condition) => until(what, async () => {
  await folder.clock.advance(1000)
  return condition()
})

const key = (id, text) => ({ keys: [['session', id, text]] })
const stored = (id, ref = 17) => orchestrator.session(ref).keys.get(JSON.stringify(['session', id]))
const credsOf = text => ({ creds: { text, account: ACCOUNT } })
const recovery = () => new JournalRecovery({ journal, backupOf: lease => new SessionBackup(client, lease), clock: folder.clock, log, signal: stopping.signal })

test('a write is journaled two seconds after its first failure, and the next ones at once', async () => {
  await orchestrator.shut()
  const queue = newQueue()
  let durable = false
  queue.enqueue(key('a', '1')).then(() => { durable = true })
  await until('the first attempt failed', () => folder.clock.waits.includes(2000))
  await folder.clock.advance(1999)
  assert.deepEqual([durable, journal.bytes, degraded], [false, 0, []])
  await folder.clock.advance(1)
  await until('it is durable', () => durable)
  assert.deepEqual(degraded, [true])
  await queue.enqueue(key('b', '1'))
  await queue.enqueue({ keys: [['session', 'a', null]] })
  assert.deepEqual([queue.pendingValue('session', 'a'), queue.pendingValue('session', 'b')], [null, '1'])
  assert.equal(queue.isQuiet, false)
  assert.equal(journal.left.length, 0)
  assert.equal(folder.open().left.length, 3)
})

test('while another replica may take the session over, writes wait for the store and nothing of them is journaled', async () => {
  journal.isHeld = true
  await orchestrator.shut()
  const queue = newQueue()
  let durable = false
  const written = queue.enqueue(key('a', '1')).then(() => { durable = true })
  await later('it is degraded', () => degraded.length > 0)
  for (let n = 0; n < 30; n++) await folder.clock.advance(1000)
  assert.deepEqual([durable, journal.bytes, degraded], [false, 0, [true]])
  await orchestrator.open()
  await later('it is written', () => durable)
  await written
  assert.deepEqual([stored('a'), degraded.at(-1)], ['1', false])
})

test('when the others turn out to be cut off too, waiting writes go to the journal', async () => {
  journal.isHeld = true
  await orchestrator.shut()
  const queue = newQueue()
  let durable = false
  queue.enqueue(key('a', '1')).then(() => { durable = true })
  await later('it is degraded', () => degraded.length > 0)
  journal.isHeld = false
  await later('it is journaled', () => durable)
  journal.isHeld = true // what began goes on: the newer must not be stored before the older
  await queue.enqueue(key('a', '2'))
  assert.equal(folder.open().left.length, 2)
})

test('when the store is back it gets the newest of all, and the journal is emptied', async () => {
  const queue = await degradedQueue()
  for (let n = 2; n < 6; n++) await queue.enqueue({ ...key('a', `${n}`), ...credsOf(`c${n}`) })
  await queue.enqueue({ ...key('b', '1'), sentMessages: [['m', Buffer.from('x')]], incoming: [['k', '{}']] })
  await orchestrator.open()
  await later('it is drained', () => queue.isQuiet && degraded.at(-1) === false)
  const session = orchestrator.session(17)
  assert.deepEqual([stored('a'), stored('b'), session.creds, session.sentMessages.size, session.incoming.size], ['5', '1', 'c5', 1, 1])
  assert.deepEqual(degraded, [true, false])
  assert.equal(journal.bytes, 0)
  assert.equal(orchestrator.callsTo('/write').length, 1)
  await queue.enqueue(key('a', '9'))
  assert.equal(journal.bytes, 0)
  assert.equal(stored('a'), '9')
})

test('what changes while the backlog is on its way is written after it', async () => {
  const queue = await degradedQueue()
  orchestrator.writeDelayMs = 50
  await orchestrator.open()
  await later('the backlog is on its way', () => orchestrator.frames.length === 1)
  await queue.enqueue(key('a', '2'))
  await until('it is drained', () => queue.isQuiet)
  assert.equal(stored('a'), '2')
  assert.equal(queue.pendingValue('session', 'a'), undefined)
})

test('creds are in the journal before anybody could wait for it, and leave it when they are committed', async () => {
  const queue = newQueue()
  const written = queue.enqueue(credsOf('c1'))
  assert.equal(folder.open().left[0].write.creds, 'c1')
  await written
  await until('it is empty', async () => { await folder.clock.advance(1000); return journal.bytes === 0 })
  assert.deepEqual(degraded, [])
})

test('an older record of creds never follows a newer one', async () => {
  const queue = await degradedQueue()
  queue.enqueue({ ...credsOf('c1'), ...key('b', '1') })
  queue.enqueue(key('c', '1'))
  await settled()
  queue.enqueue(credsOf('c2'))
  await queue.drained()
  assert.deepEqual(folder.open().left.map(({ write }) => write.creds).filter(Boolean), ['c1', 'c2'])
})

test('an identity that is not paired is not journaled', async () => {
  const queue = new WriteQueue({
    write: () => new Promise(nothing), retries: 0, journal: journal.part(LEASE, nothing), clock: folder.clock, held: true,
    onCommitted: nothing, onFailed: nothing, onClosed: nothing, onDegraded: nothing, onLost: nothing
  })
  queue.enqueue(credsOf('c0'))
  await settled()
  assert.equal(journal.bytes, 0)
  queue.release()
  assert.equal(folder.open().left[0].write.creds, 'c0')
})

test('a lost lease drops the session from the journal and closes it', async () => {
  const queue = await degradedQueue()
  orchestrator.session(17).epoch = 2
  await orchestrator.open()
  await later('it is closed', () => closedBy)
  assert.equal(closedBy.code, 'lease_lost')
  assert.equal(journal.bytes, 0)
  await assert.rejects(queue.enqueue(key('a', '2')), { code: 'lease_lost' })
  assert.equal(stored('a'), undefined)
})

test('a session that is closed while the store is away goes on to write what the journal has', async () => {
  const queue = await degradedQueue()
  queue.close(new Error('Stopped on request.'))
  assert.ok(journal.bytes > 0)
  await orchestrator.open()
  await later('it is written', () => stored('a') === '1')
  await until('the journal is empty', () => journal.bytes === 0)
})

test('when the journal is full a write fails, and what it has is kept', async () => {
  start({ limit: 3000 })
  const queue = await degradedQueue()
  await assert.rejects(queue.enqueue(key('b', 'x'.repeat(4000))), { code: 'journal_full' })
  await queue.enqueue(key('c', '1'))
  await orchestrator.open()
  await later('it is drained', () => queue.isQuiet)
  assert.deepEqual([stored('a'), stored('b'), stored('c')], ['1', undefined, '1'])
})

test('what was journaled in the moment in which the journal is written anew is still in it', async () => {
  start({ limit: 10_000 })
  const queue = await degradedQueue()
  for (let n = 0; n < 2; n++) await queue.enqueue(key('a', 'x'.repeat(3000)))
  const written = queue.enqueue(key('b', '1'))
  await new Promise(resolve => setImmediate(resolve))
  await journal.part({ ...LEASE, sessionRef: 18 }, nothing).append(writeOf(key('y', 'x'.repeat(4000))))
  await written
  assert.ok(folder.logged.includes('journal_compacted'))
  assert.ok(folder.open().left.some(({ write }) => write?.set.some(([, id]) => id === 'b')))
})

test('no newer value goes past a journal that can\'t be told of it', async t => {
  const queue = await degradedQueue()
  await journal.part({ ...LEASE, sessionRef: 18 }, nothing).append(writeOf(key('y', '1')))
  const { write } = fs
  const full = fs.openSync('/dev/full', 'w')
  t.after(() => { fs.write = write; fs.closeSync(full) })
  fs.write = (_fd, ...rest) => write(full, ...rest)
  await orchestrator.open()
  await later('the session is closed', () => closedBy)
  assert.equal(stored('a'), '1')
  await assert.rejects(queue.enqueue(key('a', 'newer')), { code: 'ENOSPC' })
})

test('creds that the journal refused are not replaced by older ones of it', async t => {
  const queue = await degradedQueue()
  await journal.part({ ...LEASE, sessionRef: 18 }, nothing).append(writeOf(key('y', '1')))
  await queue.enqueue(credsOf('c1'))
  const { writeSync } = fs
  const full = fs.openSync('/dev/full', 'w')
  t.after(() => { fs.writeSync = writeSync; fs.closeSync(full) })
  fs.writeSync = (_fd, ...rest) => writeSync(full, ...rest)
  queue.enqueue(credsOf('c2'))
  await orchestrator.open()
  await later('the epoch is over', () => closedBy)
  assert.equal(orchestrator.session(17).creds, 'c2')
})

test('a session that is closed writes its newest creds, whatever the journal took', async t => {
  const queue = await degradedQueue()
  const { writeSync } = fs
  const full = fs.openSync('/dev/full', 'w')
  t.after(() => { fs.writeSync = writeSync; fs.closeSync(full) })
  queue.enqueue(credsOf('c1'))
  fs.writeSync = (_fd, ...rest) => writeSync(full, ...rest)
  queue.enqueue(credsOf('c2'))
  queue.close(new Error('Stopped on request.'))
  await orchestrator.open()
  await later('they are written', () => orchestrator.session(17).creds)
  assert.equal(orchestrator.session(17).creds, 'c2')
})

test('a session whose backlog is written is settled in a journal that is full', async () => {
  start({ limit: 3000 })
  const queue = await degradedQueue()
  const other = journal.part({ ...LEASE, sessionRef: 18 }, nothing)
  const filling = writeOf(key('y', 'x'.repeat(3000 - journal.bytes - 38)))
  other.attach(() => [filling])
  await other.append(filling)
  await orchestrator.open()
  await later('it is drained', () => degraded.at(-1) === false)
  await queue.enqueue(key('a', 'newer'))
  assert.equal(closedBy, null)
  start()
  await recovery().run()
  assert.deepEqual([stored('a'), stored('y', 18)], ['newer', filling.set[0][2]])
})

test('one bad value in the backlog is dropped with a word, and the rest is written', async () => {
  const queue = await degradedQueue()
  for (const id of ['b', 'bad', 'c', 'd']) await queue.enqueue(key(id, '1'))
  orchestrator.behave = (call, body) => call === 'auth-state/write' && body.set.some(([, id]) => id === 'bad')
    ? { status: 422, body: { status: 422, code: 'invalid_request' } } : undefined
  await orchestrator.open()
  await later('it is drained', () => queue.isQuiet && degraded.at(-1) === false)
  assert.deepEqual(['a', 'b', 'bad', 'c', 'd'].map(id => stored(id)), ['1', '1', undefined, '1', '1'])
  assert.deepEqual(lost, ['invalid_request'])
})

test('the next process writes what the journal has under an epoch of its own, and empties it', async () => {
  const queue = await degradedQueue()
  await queue.enqueue({ ...key('a', '2'), ...credsOf('c2') })
  await queue.enqueue({ keys: [['session', 'b', null]] })
  orchestrator.session(17).keys.set('["session","b"]', 'old')
  await orchestrator.open()
  start()
  await recovery().run()
  const session = orchestrator.session(17)
  assert.deepEqual([stored('a'), stored('b'), session.creds, session.epoch], ['2', undefined, 'c2', 2])
  assert.equal(journal.bytes, 0)
  assert.deepEqual(journal.left, [])
})

test('what an earlier process had committed is not written again over newer values', async () => {
  const queue = await degradedQueue()
  const other = newQueue({ ...LEASE, sessionRef: 18 })
  let journaled = false
  other.enqueue(key('x', '1')).then(() => { journaled = true })
  await later('both are in the journal', () => journaled)
  orchestrator.behave = (call, body) => call === 'auth-state/write' && body.set.some(([, id]) => id === 'x')
    ? { status: 503, body: { code: 'database_unavailable' } } : undefined
  await orchestrator.open()
  await later('one is drained', () => queue.isQuiet)
  await queue.enqueue(key('a', 'newer'))
  assert.ok(journal.bytes > 0)
  orchestrator.behave = nothing
  start()
  await recovery().run()
  assert.deepEqual([stored('a'), stored('x', 18)], ['newer', '1'])
})

test('a journal that somebody has overtaken is dropped', async () => {
  await degradedQueue()
  orchestrator.session(17).epoch = 5
  await orchestrator.open()
  start()
  await recovery().run()
  assert.equal(stored('a'), undefined)
  assert.ok(logged.includes('journal_obsolete'))
  assert.equal(journal.bytes, 0)
})

test('a lease that has not run out is waited for', async () => {
  await degradedQueue()
  await orchestrator.open()
  start()
  let asked = 0
  orchestrator.behave = call => call === 'journal/recover' && ++asked < 3 ? { status: 409, body: { status: 409, code: 'lease_busy' } } : undefined
  const done = recovery().run()
  await later('it is recovered', () => stored('a') === '1')
  await done
  assert.equal(asked, 3)
})

test('a recovery that was cut short goes on under the epoch that it got', async () => {
  await degradedQueue()
  await orchestrator.open()
  start()
  orchestrator.behave = call => call === 'auth-states/writes' ? 'hang' : undefined
  recovery().run()
  await until('the epoch is noted', () => orchestrator.frames.length > 0)
  assert.equal(orchestrator.session(17).epoch, 2)
  orchestrator.behave = nothing
  start()
  await recovery().run()
  assert.deepEqual([stored('a'), orchestrator.session(17).epoch], ['1', 3])
})
