import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { LeaseLost, RequestRefused } from '../../src/orchestrator/errors.js'
import { WriteLane } from '../../src/orchestrator/write-lane.js'
import { WriteSocket } from '../../src/orchestrator/write-socket.js'
import { writeOf } from '../../src/auth-state/batch.js'
import { FakeClock, settled } from '../support/clock.js'
import { FakeOrchestrator, TOKEN } from '../support/orchestrator.js'
import { until } from '../support/until.js'

let orchestrator, clock, lane, logged

beforeEach(async () => {
  orchestrator = await new FakeOrchestrator().listen()
  clock = new FakeClock()
  logged = []
  const add = (_fields, event) => logged.push(event)
  const socket = new WriteSocket({ socketPath: orchestrator.socketPath, token: TOKEN, timeoutMs: 10_000, clock })
  lane = new WriteLane({ socket, clock, log: { info: add, warn: add, error: add } })
})

afterEach(async () => {
  lane.close()
  await orchestrator.close()
})

/** One session's write of one key; `attempts` are the milliseconds that it was told at each failure. */
function request(sessionRef, text = 'x') {
  const attempts = []
  const take = () => writeOf({ keys: [['session', 'a', text]] })
  return { lease: { sessionRef, generation: 1, epoch: 1 }, attempts, take, attemptFailed: (_error, downMs) => attempts.push(downMs) }
}

const write = request => lane.write(request.lease, request)

const stored = ref => orchestrator.session(ref).keys.get('["session","a"]')
const framesSeen = count => until(`${count} frames`, () => orchestrator.frames.length === count)
const problem = (status, code) => ({ status, body: { status, code } })

test('what all sessions write in one moment is one frame, and what they write while it is under way is the next', async () => {
  const early = Promise.all(Array.from({ length: 100 }, (_, n) => write(request(n + 1))))
  await framesSeen(1)
  const late = Promise.all(Array.from({ length: 50 }, (_, n) => write(request(n + 1, 'y'))))
  await Promise.all([early, late])
  assert.deepEqual(orchestrator.frames, [100, 50])
  assert.deepEqual([stored(50), stored(51)], ['y', 'x'])
})

test('one frame is under way at a time, over one connection', async () => {
  let underWay = 0
  let most = 0
  orchestrator.behave = async call => {
    if (call !== 'auth-states/writes') return
    most = Math.max(most, ++underWay)
    await settled()
    underWay--
  }
  for (let round = 0; round < 5; round++) {
    await Promise.all([1, 2, 3].map(async ref => { await settled(ref); await write(request(ref, `${round}`)) }))
  }
  assert.equal(most, 1)
  assert.equal(orchestrator.streams.size, 1)
})

test('a large amount goes in several frames', async () => {
  await Promise.all(Array.from({ length: 5 }, (_, n) => write(request(n + 1, 'x'.repeat(3 * 1024 * 1024)))))
  assert.deepEqual(orchestrator.frames, [3, 2])
})

test('each write has its own outcome', async () => {
  orchestrator.session(2).epoch = 9
  orchestrator.behave = (call, body) => call === 'auth-state/write' && body.set[0][2] === 'bad' ? problem(422, 'invalid_request') : undefined
  const outcomes = await Promise.allSettled([write(request(1)), write(request(2)), write(request(3, 'bad')), write(request(4))])
  assert.deepEqual(outcomes.map(({ status }) => status), ['fulfilled', 'rejected', 'rejected', 'fulfilled'])
  assert.ok(outcomes[1].reason instanceof LeaseLost)
  assert.ok(outcomes[2].reason instanceof RequestRefused)
  assert.equal(orchestrator.frames.length, 1)
})

test('a frame that is refused as a whole is sent write by write, so that only the bad one is refused', async () => {
  const isBad = ([, , , , , set]) => Buffer.from(set[0][2]).toString() === 'bad'
  orchestrator.behave = (call, writes) => call === 'auth-states/writes' && writes.some(isBad) ? problem(422, 'invalid_request') : undefined
  const outcomes = await Promise.allSettled([write(request(1)), write(request(2, 'bad')), write(request(3))])
  assert.deepEqual(outcomes.map(({ reason }) => reason?.code ?? null), [null, 'invalid_request', null])
  assert.deepEqual(orchestrator.frames, [3, 1, 1, 1])
})

test('when there is no answer any more while a refused frame is sent write by write, all of them hear at once', async () => {
  orchestrator.behave = (call, writes) => call !== 'auth-states/writes' ? undefined : writes.length > 1 ? problem(422, 'invalid_request') : 'hang'
  const requests = [1, 2, 3].map(ref => request(ref))
  const written = Promise.all(requests.map(one => write(one)))
  await framesSeen(2)
  await clock.advance(10_000)
  assert.deepEqual(requests.map(({ attempts }) => attempts), [[10_000], [10_000], [10_000]])
  orchestrator.behave = () => undefined
  await clock.advance(2000)
  await written
})

test('a frame without an answer closes the connection, and its late answer is nobody\'s', async () => {
  orchestrator.behave = call => call === 'auth-states/writes' ? 'hang' : undefined
  const hanging = request(1, 'old')
  const written = write(hanging)
  await framesSeen(1)
  const [stream] = orchestrator.streams
  await clock.advance(10_000)
  await until('the connection is closed', () => stream.destroyed)
  assert.deepEqual(hanging.attempts, [10_000])
  orchestrator.behave = () => undefined
  await clock.advance(2000)
  await written
  assert.equal(stored(1), 'old')
  assert.equal(orchestrator.frames.length, 2)
})

for (const [situation, behave] of Object.entries({
  'says 503': () => problem(503, 'overloaded'), 'drops the connection': () => 'drop', 'answers nonsense': () => 'garbage',
  'loses the answer': () => 'lose'
})) {
  test(`when the orchestrator ${situation} it is asked again after 2, 4, 6 and 6 s, once for all sessions`, async () => {
    orchestrator.behave = call => call === 'auth-states/writes' ? behave() : undefined
    const requests = Array.from({ length: 100 }, (_, n) => request(n + 1))
    const written = Promise.all(requests.map(one => write(one)))
    for (const [n, pauseMs] of [2000, 4000, 6000, 6000].entries()) {
      await framesSeen(n + 1)
      await until('all know of it', () => requests[99].attempts.length === n + 1)
      assert.deepEqual(clock.waits, [pauseMs])
      if (n === 3) orchestrator.behave = () => undefined
      await clock.advance(pauseMs)
    }
    await written
    assert.deepEqual(requests[0].attempts, [0, 2000, 6000, 12_000])
    assert.deepEqual(orchestrator.frames, [100, 100, 100, 100, 100])
    assert.deepEqual(logged, ['write_lane_down', 'write_lane_up'])
  })
}

test('who comes while the lane is down hears at once since when, and goes with the next attempt', async () => {
  await orchestrator.shut()
  const first = request(1)
  const written = write(first)
  await until('it failed', () => first.attempts.length === 1)
  await clock.advance(1500)
  const late = request(2)
  const lateWritten = write(late)
  await settled()
  assert.deepEqual(late.attempts, [1500])
  await orchestrator.open()
  await clock.advance(500)
  await Promise.all([written, lateWritten])
  assert.deepEqual(orchestrator.frames, [2])
})

test('one session that the database does not take does not hold up the others', async () => {
  orchestrator.behave = (call, body) => call === 'auth-state/write' && body.set[0][2] === 'stuck' ? problem(503, 'database_unavailable') : undefined
  const stuck = request(1, 'stuck')
  const written = write(stuck)
  await write(request(2))
  await until('it is told', () => stuck.attempts.length === 1)
  await write(request(3))
  assert.deepEqual(clock.waits, [2000])
  orchestrator.behave = () => undefined
  await clock.advance(2000)
  await written
})

test('who has nothing to write any more costs no frame', async () => {
  await write({ take: () => null, attemptFailed: () => {} })
  assert.deepEqual(orchestrator.frames, [])
})
