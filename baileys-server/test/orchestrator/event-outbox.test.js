import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { RequestRefused, OrchestratorUnavailable } from '../../src/orchestrator/errors.js'
import { EventOutbox } from '../../src/orchestrator/event-outbox.js'
import { FakeClock, settled } from '../support/clock.js'

let clock, delivered, behave, outbox, logged
const log = { warn: () => {}, error: (_fields, event) => logged.push(event) }
const unavailable = () => { throw new OrchestratorUnavailable('away', { code: 'unreachable' }) }

function newOutbox(options = {}) {
  return new EventOutbox({
    client: { call: async (_path, body) => { await behave?.(body.events); delivered.push(...body.events) } },
    instance: 'i', clock, log, ...options
  })
}

beforeEach(() => {
  clock = new FakeClock()
  delivered = []
  logged = []
  behave = undefined
  outbox = newOutbox()
})

const event = (type, data = {}, session_ref = 1) => ({ session_ref, epoch: 1, type, data })
const state = (name, ref) => event('connection.state', { state: name }, ref)
const summary = () => delivered.map(({ type, data }) => data.state ?? data.n ?? type)

test('events arrive in order, with their time', async () => {
  outbox.add(event('message.received', { n: 1 }))
  outbox.add(event('message.receipt', { n: 2 }))
  await settled()
  assert.deepEqual(summary(), [1, 2])
  assert.equal(delivered[0].at, clock.now())
})

test('they are retried until delivered, in order, later ones behind them', async () => {
  behave = unavailable
  outbox.add(event('message.received', { n: 1 }))
  await clock.advance(60_000)
  outbox.add(event('message.received', { n: 2 }))
  behave = undefined
  await clock.advance(5000)
  assert.deepEqual(summary(), [1, 2])
})

test('a state of which people are told waits though a newer one came', async () => {
  behave = unavailable
  for (const name of ['conflict', 'connecting']) outbox.add(state(name))
  await clock.advance(1000)
  for (const name of ['paused', 'waiting_retry', 'open']) outbox.add(state(name))
  behave = undefined
  await clock.advance(5000)
  assert.deepEqual(summary(), ['conflict', 'paused', 'open'])
})

test('only the newest state of a session waits', async () => {
  behave = unavailable
  for (const name of ['starting', 'connecting']) outbox.add(state(name))
  await settled()
  outbox.add(event('message.received', { n: 1 }))
  outbox.add(state('open'))
  outbox.add(state('open', 2))
  outbox.add(state('waiting_retry'))
  behave = undefined
  await clock.advance(5000)
  assert.deepEqual(delivered.map(({ session_ref, data }) => [session_ref, data.state ?? data.n]), [[1, 1], [2, 'open'], [1, 'waiting_retry']])
})

test('a full box drops its oldest message events, counts and logs them', async () => {
  outbox = newOutbox({ capacity: 3 })
  behave = unavailable
  outbox.add(state('open'))
  for (const n of [1, 2, 3, 4]) outbox.add(event('message.received', { n }))
  behave = undefined
  await clock.advance(5000)
  assert.deepEqual(summary(), ['open', 3, 4])
  assert.equal(outbox.dropped, 2)
  assert.deepEqual(logged, ['event_dropped', 'event_dropped'])
})

test('a box full of long texts drops the oldest, and no call is longer than a body may be', async () => {
  outbox = newOutbox({ capacityCharacters: 9_000_000 })
  behave = unavailable
  outbox.add(state('open'))
  const sizes = []
  for (const n of [1, 2, 3, 4]) outbox.add(event('message.received', { n, text: 'x'.repeat(2_500_000) }))
  await settled()
  behave = events => { sizes.push(JSON.stringify(events).length) }
  await clock.advance(5000)
  assert.deepEqual(summary(), ['open', 2, 3, 4])
  assert.equal(outbox.dropped, 1)
  assert.ok(Math.max(...sizes) < 5_000_000)
  for (const n of [5, 6, 7]) outbox.add(event('message.received', { n, text: 'x'.repeat(2_500_000) }))
  await settled()
  assert.equal(outbox.dropped, 1)
})

test('an event that is refused does not hold up the others', async () => {
  behave = events => {
    if (events.some(({ data }) => data.n === 2)) throw new RequestRefused('no', { code: 'invalid_request', status: 422 })
  }
  for (const n of [1, 2, 3]) outbox.add(event('message.received', { n }))
  await settled()
  assert.deepEqual(summary(), [1, 3])
  assert.deepEqual(logged, ['event_refused'])
})

test('closing delivers what is left, or gives up', async () => {
  outbox.add(event('message.received', { n: 1 }))
  await outbox.close(1000)
  assert.deepEqual(summary(), [1])
  outbox = newOutbox()
  behave = () => new Promise(() => {})
  outbox.add(event('message.received', { n: 2 }))
  const closed = outbox.close(1000)
  await clock.advance(1000)
  await closed
})
