import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SessionBackup } from '../../src/orchestrator/session-backup.js'

test('a read of many ids is split into calls that the orchestrator takes', async () => {
  const asked = []
  const client = { call: async (_path, { key_ids: ids }) => {
    asked.push(ids.length)
    return { values: Object.fromEntries(ids.map(id => [id, `value of ${id}`])) }
  } }
  const backup = new SessionBackup(client, { sessionRef: 17, generation: 1, epoch: 1 })
  const ids = Array.from({ length: 12_001 }, (_, n) => `k${n}`)
  const values = await backup.read('pre-key', ids)
  assert.deepEqual(asked, [5000, 5000, 2001])
  assert.equal(values.size, 12_001)
  assert.equal(values.get('k12000'), 'value of k12000')
})
