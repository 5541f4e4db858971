import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { Departure } from '../../src/orchestrator/departure.js'
import { settled } from '../support/clock.js'

let calls, answer, delivered, warned, departure

beforeEach(() => {
  calls = []
  warned = []
  answer = Promise.resolve({})
  delivered = Promise.resolve()
  departure = new Departure({
    client: { call: (path, body) => { calls.push([path, body.closed]); return answer } },
    instance: 'i', delivered: () => delivered, log: { warn: (_fields, event) => warned.push(event) }
  })
})

const PATH = '/internal/v1/sidecar/departing'

test('the departure is told at once, and what closes in the same moment in one call', async () => {
  departure.begin()
  await settled()
  for (const ref of [1, 2, 3]) departure.closed(ref)
  await departure.told()
  assert.deepEqual(calls, [[PATH, []], [PATH, [1, 2, 3]]])
})

test('one call at a time: what closes meanwhile goes into the next', async () => {
  let finish
  answer = new Promise(resolve => { finish = resolve })
  departure.closed(1)
  await settled()
  departure.closed(2)
  departure.closed(3)
  await settled()
  assert.deepEqual(calls, [[PATH, [1]]])
  finish({})
  await departure.told()
  assert.deepEqual(calls, [[PATH, [1]], [PATH, [2, 3]]])
})

test('a lease is given up only after the events of its session have arrived', async () => {
  let arrive
  delivered = new Promise(resolve => { arrive = resolve })
  departure.closed(1)
  await settled()
  assert.deepEqual(calls, [])
  arrive()
  await departure.told()
  assert.deepEqual(calls, [[PATH, [1]]])
})

test('a departure that is not heard is no reason to stay', async () => {
  delivered = Promise.resolve()
  answer = { then: (_resolve, reject) => reject(new Error('gone')) }
  departure.begin()
  await departure.told()
  assert.deepEqual(warned, ['departure_not_heard'])
})
