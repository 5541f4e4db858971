import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DirectoryOutbox, merged } from '../../src/orchestrator/directory-outbox.js'
import { OrchestratorUnavailable, RequestRefused } from '../../src/orchestrator/errors.js'
import { FakeClock, settled } from '../support/clock.js'

const nothing = () => {}
const log = { warn: nothing, error: nothing }
const owner = sessionRef => ({ sessionRef, generation: 1 })

test('two changes of one thing are one: the newer wins, unread adds up, labels are each their own', () => {
  for (const [older, newer, expected] of [
    [{ name: 'A', archived: true }, { name: 'B' }, { name: 'B', archived: true }],
    [{ unread_added: 2 }, { unread_added: 3 }, { unread_added: 5 }],
    [{ unread_count: 4 }, { unread_added: 1 }, { unread_count: 5 }],
    [{ unread_added: 4 }, { unread_count: 0 }, { unread_count: 0 }],
    [{ labels: { 1: true, 2: true } }, { labels: { 2: false } }, { labels: { 1: true, 2: false } }],
    [{ name: 'A' }, null, null],
    [null, { name: 'A' }, { name: 'A' }]
  ]) assert.deepEqual(merged(older, newer), expected)
})

test('changes of many sessions travel in one call, again after an outage, and not for ever when they are refused', async () => {
  const clock = new FakeClock()
  const calls = []
  let outcome = () => {}
  const client = { call: async (path, body) => { calls.push({ path, ...body }); outcome() } }
  const outbox = new DirectoryOutbox({ client, clock, log })
  outbox.add(owner(1), 'chat', 'a', { unread_added: 1 })
  outbox.add(owner(2), 'chat', 'a', { unread_added: 1 })
  outbox.add(owner(1), 'chat', 'a', { unread_added: 1 })
  await settled()
  assert.equal(calls.length, 0)
  outcome = () => { throw new OrchestratorUnavailable('away', { code: 'database_unavailable' }) }
  await clock.advance(2000)
  assert.deepEqual(calls, [{ path: '/internal/v1/directory', changes: [[1, 1, 'chat', 'a', { unread_added: 2 }], [2, 1, 'chat', 'a', { unread_added: 1 }]] }])
  outbox.add(owner(2), 'chat', 'a', { unread_count: 0 })
  outcome = () => {}
  await clock.advance(4000)
  assert.deepEqual(calls[1].changes, [[1, 1, 'chat', 'a', { unread_added: 2 }], [2, 1, 'chat', 'a', { unread_count: 0 }]])
  outcome = () => { throw new RequestRefused('no', { code: 'invalid_request' }) }
  outbox.add(owner(1), 'label', '7', { name: 'x' })
  await clock.advance(10_000)
  assert.equal(calls.length, 3)
  outcome = () => {}
  outbox.add(owner(1), 'label', '8', { name: 'y' })
  await settled()
  await outbox.close(1000)
  assert.deepEqual(calls[3].changes, [[1, 1, 'label', '8', { name: 'y' }]], 'on the way out nothing is gathered any more')
})
