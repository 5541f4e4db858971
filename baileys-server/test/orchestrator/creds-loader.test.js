import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CredsLoader } from '../../src/orchestrator/creds-loader.js'
import { settled } from '../support/clock.js'

const leaseOf = sessionRef => ({ sessionRef, generation: 1, epoch: 2 })
const found = ref => ({ outcome: 'found', creds: `creds of ${ref}`, account: { jid: `${ref}@s.whatsapp.net`, lid: null } })

/** The client's half of a call, answered by the test. */
function client() {
  const calls = []
  return { calls, call: (path, { sessions }) => new Promise((resolve, reject) => calls.push({ path, refs: sessions.map(([ref]) => ref), sessions, resolve, reject })) }
}

test('sessions that start together are one call, and those that ask meanwhile are the next', async () => {
  const { calls, call } = client()
  const loader = new CredsLoader({ call })
  const first = [1, 2, 3].map(ref => loader.load(leaseOf(ref)))
  await settled()
  const second = [4, 5].map(ref => loader.load(leaseOf(ref)))
  await settled()
  assert.deepEqual(calls.map(({ refs }) => refs), [[1, 2, 3]])
  assert.deepEqual(calls[0].sessions[0], [1, 1, 2])
  calls[0].resolve({ sessions: [found(1), { outcome: 'absent' }, { outcome: 'error', code: 'lease_lost', detail: '' }] })
  assert.deepEqual(await first[0], found(1))
  assert.deepEqual(await first[1], { outcome: 'absent' })
  await assert.rejects(first[2], { code: 'lease_lost' })
  await settled()
  assert.deepEqual(calls[1].refs, [4, 5])
  calls[1].resolve({ sessions: [found(4), found(5)] })
  assert.deepEqual((await Promise.all(second)).map(({ creds }) => creds), ['creds of 4', 'creds of 5'])
})

test('more than 1000 are more than one call', async () => {
  const { calls, call } = client()
  const loader = new CredsLoader({ call })
  const asked = Promise.all(Array.from({ length: 1500 }, (_, ref) => loader.load(leaseOf(ref))))
  for (const size of [1000, 500]) {
    await settled()
    assert.equal(calls.at(-1).refs.length, size)
    calls.at(-1).resolve({ sessions: calls.at(-1).refs.map(found) })
  }
  assert.equal((await asked)[1499].creds, 'creds of 1499')
})

test('a failed call fails for all who asked, and the next one is asked anew', async () => {
  const { calls, call } = client()
  const loader = new CredsLoader({ call })
  const asked = [1, 2].map(ref => loader.load(leaseOf(ref)))
  await settled()
  calls[0].reject(Object.assign(new Error('away'), { code: 'unreachable' }))
  for (const loaded of asked) await assert.rejects(loaded, { code: 'unreachable' })
  const again = loader.load(leaseOf(1))
  await settled()
  calls[1].resolve({ sessions: [found(1)] })
  assert.equal((await again).outcome, 'found')
})

for (const [what, sessions] of Object.entries({
  'an outcome too few': [],
  'no outcome': [null],
  'an outcome that is neither': [{ outcome: 'perhaps' }],
  'creds without an account': [{ outcome: 'found', creds: '{}' }],
  'empty creds': [{ ...found(1), creds: '' }]
})) {
  test(`${what} counts as no answer, never as absent`, async () => {
    const { calls, call } = client()
    const asked = new CredsLoader({ call }).load(leaseOf(1))
    await settled()
    calls[0].resolve({ sessions })
    await assert.rejects(asked, { code: 'malformed_answer' })
  })
}
