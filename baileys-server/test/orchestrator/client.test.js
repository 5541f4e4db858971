import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { OrchestratorClient } from '../../src/orchestrator/client.js'
import { AuthStateCorrupt, LeaseLost, OrchestratorUnavailable, RequestRefused } from '../../src/orchestrator/errors.js'
import { FakeClock } from '../support/clock.js'
import { FakeOrchestrator, TOKEN } from '../support/orchestrator.js'
import { until } from '../support/until.js'

const PATH = '/internal/v1/sidecar/hello'

let orchestrator, clock, client

beforeEach(async () => {
  orchestrator = await new FakeOrchestrator().listen()
  clock = new FakeClock()
  client = new OrchestratorClient({ socketPath: orchestrator.socketPath, token: TOKEN, timeoutMs: 10_000, retries: 3, clock })
})

afterEach(async () => {
  client.close()
  await orchestrator.close()
})

const answer = (status, code) => ({ status, body: { code } })
const arrived = count => until(`${count} calls arrived`, () => orchestrator.calls.length === count)
const waitingFor = ms => until(`it waits ${ms} ms`, () => clock.waits.includes(ms))

test('a call carries the token and the body, and gives the body of the answer', async () => {
  assert.deepEqual(await client.call(PATH, { instance: 'x' }), {})
  assert.deepEqual(orchestrator.hellos, ['x'])
})

test('an unavailable orchestrator is asked again after 2, 4 and 6 s, and then it is an error', async () => {
  orchestrator.behave = () => answer(503, 'database_unavailable')
  const attempts = []
  const call = client.call(PATH, {}, { onAttemptFailed: error => attempts.push(error.code) })
  const failed = assert.rejects(call, error => error instanceof OrchestratorUnavailable && error.code === 'database_unavailable')
  for (const [n, pause] of [2000, 4000, 6000].entries()) {
    await arrived(n + 1)
    await waitingFor(pause)
    await clock.advance(pause - 1)
    assert.equal(orchestrator.calls.length, n + 1)
    await clock.advance(1)
  }
  await failed
  assert.equal(orchestrator.calls.length, 4)
  assert.equal(attempts.length, 4)
})

test('a call without an answer is given up after 10 s and repeated', async () => {
  orchestrator.behave = () => orchestrator.calls.length === 1 ? 'hang' : undefined
  const call = client.call(PATH, {})
  await arrived(1)
  await clock.advance(10_000)
  await waitingFor(2000)
  await clock.advance(2000)
  assert.deepEqual(await call, {})
})

for (const behaviour of ['drop', 'garbage', 'lose', answer(500, 'internal_error'), answer(502, undefined)]) {
  test(`${JSON.stringify(behaviour)} says nothing about the state, so the call is repeated`, async () => {
    orchestrator.behave = () => orchestrator.calls.length === 1 ? behaviour : undefined
    const call = client.call(PATH, { instance: 'x' })
    await waitingFor(2000)
    await clock.advance(2000)
    assert.deepEqual(await call, {})
  })
}

const FINAL = [
  [answer(409, 'lease_lost'), LeaseLost],
  [answer(500, 'auth_state_corrupt'), AuthStateCorrupt],
  [answer(422, 'invalid_request'), RequestRefused],
  [answer(401, 'unauthorized'), RequestRefused],
  [{ status: 404, body: 'not a document' }, RequestRefused]
]
for (const [behaviour, type] of FINAL) {
  test(`${behaviour.status} ${behaviour.body.code ?? ''} is final`, async () => {
    orchestrator.behave = () => behaviour
    await assert.rejects(client.call(PATH, {}), type)
    assert.equal(orchestrator.calls.length, 1)
  })
}

test('a connection that was idle and is closed by the server costs no attempt', async () => {
  await client.call(PATH, {})
  orchestrator.server.closeAllConnections()
  assert.deepEqual(await client.call(PATH, {}), {})
  assert.deepEqual(clock.waits, [])
})

test('an orchestrator that is not there at all is unreachable, and found when it is back', async () => {
  await orchestrator.shut()
  const call = client.call(PATH, {})
  await waitingFor(2000)
  await orchestrator.open()
  await clock.advance(2000)
  assert.deepEqual(await call, {})
})

test('an aborted call does not wait for its next attempt', async () => {
  orchestrator.behave = () => answer(503, 'database_unavailable')
  const aborting = new AbortController()
  const call = client.call(PATH, {}, { signal: aborting.signal })
  await waitingFor(2000)
  aborting.abort()
  await assert.rejects(call, OrchestratorUnavailable)
  assert.equal(orchestrator.calls.length, 1)
})
