import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { InProcess, PHONE, SESSION } from '../support/in-process.js'
import { until } from '../support/until.js'

/** From what is stored to an open socket. */

let sidecar, orchestrator, whatsapp, registry, reports

beforeEach(async () => {
  sidecar = await InProcess.start();
  ({ orchestrator, whatsapp, registry, reports } = sidecar)
})

afterEach(() => sidecar.close())

const alerts = () => reports.filter(({ type }) => type === 'session.alert')
const stored = type => [...orchestrator.session(17).keys.keys()].filter(name => JSON.parse(name)[0] === type)
const newestPreKeyId = () => JSON.parse(orchestrator.session(17).creds).nextPreKeyId - 1

async function pairAndStop() {
  await sidecar.pair()
  await until('the app-state key is there', () => orchestrator.session(17).creds.includes('myAppStateKeyId'))
  await until('its pre-keys are there', () => stored('pre-key').length > 100)
  await registry.stop(17)
  assert.deepEqual(alerts(), [])
}

test('an undamaged auth state opens without an alarm, and its keys come when its turn comes', async () => {
  await pairAndStop()
  orchestrator.calls.length = 0
  const releaseSlot = await sidecar.slots.take(new AbortController().signal)
  registry.start(SESSION)
  await until('its creds are loaded', () => orchestrator.callsTo('/auth-states/load').length === 1)
  assert.equal(orchestrator.callsTo('/prefetch').length, 0)
  releaseSlot()
  await until('it is open', () => sidecar.state === 'open')
  assert.equal(orchestrator.callsTo('/prefetch').length, 1)
  assert.deepEqual(alerts(), [])
})

test('the creds of another account never reach WhatsApp, and nothing is deleted', async () => {
  await pairAndStop()
  const { creds, account } = orchestrator.session(17)
  orchestrator.session(17).account = { jid: '5511888880000:3@s.whatsapp.net', lid: null }
  const { logins } = await whatsapp.get('/counts')
  registry.start(SESSION)
  await until('it was tried again', () => orchestrator.callsTo('/auth-states/load').length >= 3)
  assert.equal(sidecar.state, 'waiting_retry')
  assert.deepEqual(alerts().map(({ alert, reason }) => [alert, reason]),
    [['restore_refused', 'The stored creds are those of another account than the recorded one.']])
  assert.equal((await whatsapp.get('/counts')).logins, logins)
  assert.equal(orchestrator.session(17).creds, creds)
  orchestrator.session(17).account = account
  await until('it opens once the record is right', () => sidecar.state === 'open')
})

test('lost pre-keys are told, and Baileys uploads new ones at login', async () => {
  await pairAndStop()
  const before = newestPreKeyId()
  for (const name of stored('pre-key')) orchestrator.session(17).keys.delete(name)
  registry.start(SESSION)
  await until('it is open', () => sidecar.state === 'open')
  assert.deepEqual(alerts().map(({ alert, missing }) => [alert, missing]), [['restore_incomplete', ['pre-key']]])
  await until('new pre-keys are stored', () => newestPreKeyId() > before && stored('pre-key').length > 0)
  const contact = await whatsapp.post('/contacts', { name: 'Ana' })
  await whatsapp.post('/send', { from: contact.phone, to: PHONE, text: 'readable in the end' })
  await until('a message arrives', () => orchestrator.eventsOf('message.received').some(({ text }) => text === 'readable in the end'))
  assert.equal((await whatsapp.get('/counts')).prekey_reused, 0)
})

test('a lost app-state key is told, and messages go on', async () => {
  await pairAndStop()
  for (const name of stored('app-state-sync-key')) orchestrator.session(17).keys.delete(name)
  registry.start(SESSION)
  await until('it is open', () => sidecar.state === 'open')
  assert.deepEqual(alerts().map(({ alert, missing }) => [alert, missing]), [['restore_incomplete', ['app-state-sync-key']]])
  const contact = await whatsapp.post('/contacts', { name: 'Ana' })
  await whatsapp.post('/send', { from: contact.phone, to: PHONE, text: 'hello' })
  await until('a message arrives', () => orchestrator.eventsOf('message.received').some(({ text }) => text === 'hello'))
})

test('keys that cannot be brought are not taken for absent: the socket stays closed until they come', async () => {
  await pairAndStop()
  const { logins } = await whatsapp.get('/counts')
  orchestrator.behave = call => call === 'auth-state/prefetch' ? { status: 503, body: { code: 'database_unavailable' } } : undefined
  registry.start(SESSION)
  await until('it waits', () => sidecar.state === 'waiting_retry')
  assert.equal((await whatsapp.get('/counts')).logins, logins)
  orchestrator.behave = () => undefined
  await until('it is open', () => sidecar.state === 'open')
})
