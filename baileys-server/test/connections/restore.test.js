import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import '../../src/silence-console.js'
import { WA_CERT_DETAILS } from '@whiskeysockets/baileys'
import { systemClock } from '../../src/clock.js'
import { Registry } from '../../src/connections/registry.js'
import { StartSlots } from '../../src/connections/start-slots.js'
import { OrchestratorClient } from '../../src/orchestrator/client.js'
import { CredsLoader } from '../../src/orchestrator/creds-loader.js'
import { SessionBackup } from '../../src/orchestrator/session-backup.js'
import { FakeOrchestrator, TOKEN } from '../support/orchestrator.js'
import { until } from '../support/until.js'
import { startWhatsApp } from '../support/whatsapp.js'

/** From what is stored to an open socket. Real Baileys, fake WhatsApp, in this process. */

const nothing = () => {}
const log = { debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => log }
const session = { sessionRef: 17, sessionId: 'loja', generation: 1, epoch: 1 }
const PHONE = '5511999990000'

let orchestrator, whatsapp, client, registry, reports, slots

beforeEach(async () => {
  orchestrator = await new FakeOrchestrator().listen()
  whatsapp = await startWhatsApp()
  WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(whatsapp.rootKey, 'hex')
  client = new OrchestratorClient({ socketPath: orchestrator.socketPath, token: TOKEN, timeoutMs: 1000, retries: 0, clock: systemClock, log })
  const credsLoader = new CredsLoader(client)
  reports = []
  slots = new StartSlots(1)
  registry = new Registry(started => ({
    credsLoader,
    backup: new SessionBackup(client, started),
    report: (type, data) => reports.push({ type, ...data }),
    journal: null, startSlots: slots, clock: systemClock, random: () => 0.05, log,
    options: {
      writeRetries: 0,
      socket: { webSocketUrl: whatsapp.wsUrl, keepAliveMs: 30_000 },
      verification: { initialDelayMs: 10_000, throttleMs: 30_000, intervalMs: 300_000 }
    }
  }))
})

afterEach(async () => {
  await registry.shutDown()
  client.close()
  await whatsapp.close()
  await orchestrator.close()
})

const stateOf = ref => registry.describe().find(({ session_ref: described }) => described === ref)?.state
const alerts = () => reports.filter(({ type }) => type === 'session.alert')
const stored = type => [...orchestrator.session(17).keys.keys()].filter(name => JSON.parse(name)[0] === type)
const newestPreKeyId = () => JSON.parse(orchestrator.session(17).creds).nextPreKeyId - 1

async function pairAndStop() {
  registry.start(session)
  const { qr } = await until('a QR', () => reports.find(({ type }) => type === 'pairing.qr'))
  await whatsapp.post('/scan', { qr, phone: PHONE })
  await until('it is open', () => stateOf(17) === 'open')
  await until('the app-state key is there', () => orchestrator.session(17).creds.includes('myAppStateKeyId'))
  await until('its pre-keys are there', () => stored('pre-key').length > 100)
  await registry.stop(17)
  assert.deepEqual(alerts(), [])
}

test('an undamaged auth state opens without an alarm, and its keys come when its turn comes', async () => {
  await pairAndStop()
  orchestrator.calls.length = 0
  const releaseSlot = await slots.take(new AbortController().signal)
  registry.start(session)
  await until('its creds are loaded', () => orchestrator.callsTo('/auth-states/load').length === 1)
  assert.equal(orchestrator.callsTo('/prefetch').length, 0)
  releaseSlot()
  await until('it is open', () => stateOf(17) === 'open')
  assert.equal(orchestrator.callsTo('/prefetch').length, 1)
  assert.deepEqual(alerts(), [])
})

test('the creds of another account never reach WhatsApp, and nothing is deleted', async () => {
  await pairAndStop()
  const { creds, account } = orchestrator.session(17)
  orchestrator.session(17).account = { jid: '5511888880000:3@s.whatsapp.net', lid: null }
  const { logins } = await whatsapp.get('/counts')
  registry.start(session)
  await until('it was tried again', () => orchestrator.callsTo('/auth-states/load').length >= 3)
  assert.equal(stateOf(17), 'waiting_retry')
  assert.deepEqual(alerts().map(({ alert, reason }) => [alert, reason]),
    [['restore_refused', 'The stored creds are those of another account than the recorded one.']])
  assert.equal((await whatsapp.get('/counts')).logins, logins)
  assert.equal(orchestrator.session(17).creds, creds)
  orchestrator.session(17).account = account
  await until('it opens once the record is right', () => stateOf(17) === 'open')
})

test('lost pre-keys are told, and Baileys uploads new ones at login', async () => {
  await pairAndStop()
  const before = newestPreKeyId()
  for (const name of stored('pre-key')) orchestrator.session(17).keys.delete(name)
  registry.start(session)
  await until('it is open', () => stateOf(17) === 'open')
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
  registry.start(session)
  await until('it is open', () => stateOf(17) === 'open')
  assert.deepEqual(alerts().map(({ alert, missing }) => [alert, missing]), [['restore_incomplete', ['app-state-sync-key']]])
  const contact = await whatsapp.post('/contacts', { name: 'Ana' })
  await whatsapp.post('/send', { from: contact.phone, to: PHONE, text: 'hello' })
  await until('a message arrives', () => orchestrator.eventsOf('message.received').some(({ text }) => text === 'hello'))
})

test('keys that cannot be brought are not taken for absent: the socket stays closed until they come', async () => {
  await pairAndStop()
  const { logins } = await whatsapp.get('/counts')
  orchestrator.behave = call => call === 'auth-state/prefetch' ? { status: 503, body: { code: 'database_unavailable' } } : undefined
  registry.start(session)
  await until('it waits', () => stateOf(17) === 'waiting_retry')
  assert.equal((await whatsapp.get('/counts')).logins, logins)
  orchestrator.behave = () => undefined
  await until('it is open', () => stateOf(17) === 'open')
})
