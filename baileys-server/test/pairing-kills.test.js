import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { FakeOrchestrator } from './support/orchestrator.js'
import { Sidecar } from './support/sidecar.js'
import { until } from './support/until.js'
import { startWhatsApp } from './support/whatsapp.js'

/**
 * kill -9 between every two steps of a linking: afterwards the account is linked and durable, or it is cleanly not
 * linked, and then a new QR links it.
 */

let orchestrator, whatsapp, sidecar
let ref = 0
let phone = ''

before(async () => {
  orchestrator = await new FakeOrchestrator().listen()
  whatsapp = await startWhatsApp()
})

after(async () => {
  await whatsapp.close()
  await orchestrator.close()
})

afterEach(async () => {
  orchestrator.behave = () => undefined
  await sidecar.stop('SIGKILL')
})

/** A session of the test's own, waiting for a phone. */
async function pairing() {
  ref += 1
  phone = `55119999900${String(ref).padStart(2, '0')}`
  sidecar = await Sidecar.start({ orchestrator, whatsapp })
  await sidecar.startSession(ref)
  return (await sidecar.inState(ref, 'pairing')).qr.qr
}

async function killAndRestart() {
  await sidecar.stop('SIGKILL')
  orchestrator.behave = () => undefined
  orchestrator.session(ref).epoch += 1
  sidecar = await Sidecar.start({ orchestrator, whatsapp })
  await sidecar.startSession(ref, { epoch: orchestrator.session(ref).epoch })
}

const fail = kind => whatsapp.post('/failures', { kind, phone })
const happened = kind => until(`${kind} happened`, async () =>
  (await whatsapp.get('/failures')).failures.every(failure => failure.kind !== kind))
const devices = async () => (await whatsapp.get('/accounts')).accounts.find(account => account.phone === phone)?.devices ?? []

/** @param {string} qr whose linking comes to nothing */
function scanned(qr) {
  const scan = whatsapp.post('/scan', { qr, phone })
  scan.catch(() => {})
  return scan
}

async function cleanlyNotLinked(earlierQr) {
  const { qr } = await sidecar.inState(ref, 'pairing')
  assert.notEqual(qr.qr, earlierQr)
  assert.equal(orchestrator.session(ref).creds, null)
  assert.deepEqual(await devices(), [])
}

async function linked() {
  await sidecar.inState(ref, 'open')
  assert.equal((await devices()).length, 1)
  assert.equal(orchestrator.eventsOf('pairing.failed').filter(({ session_ref: of }) => of === ref).length, 0)
}

test('while the QR code is shown', async () => {
  const qr = await pairing()
  await killAndRestart()
  await cleanlyNotLinked(qr)
})

test('while a code is shown', async () => {
  const qr = await pairing()
  const { body } = await sidecar.call('POST', `/v1/sessions/${ref}/pairing-code`, { phone })
  await killAndRestart()
  await cleanlyNotLinked(qr)
  await assert.rejects(whatsapp.post('/enter-code', { code: body.pairing_code, phone }), /no_code_attempt/)
})

test('between the scan and pair-success', async () => {
  const qr = await pairing()
  await fail('hold_at_scan')
  scanned(qr)
  await happened('hold_at_scan')
  await killAndRestart()
  await cleanlyNotLinked(qr)
})

test('while the account is on its way to the store: WhatsApp was not told', async () => {
  const qr = await pairing()
  orchestrator.behave = call => call === 'auth-state/write' ? 'hang' : undefined
  scanned(qr)
  await until('the creds are on their way', () => orchestrator.callsTo(`sessions/${ref}/auth-state/write`).length > 0)
  await killAndRestart()
  await cleanlyNotLinked(qr)
})

test('between the durable account and its confirmation by WhatsApp', async () => {
  const qr = await pairing()
  await fail('hold_at_pair_success')
  scanned(qr)
  await until('the creds are stored', () => orchestrator.session(ref).creds !== null)
  await happened('hold_at_pair_success')
  await killAndRestart()
  await sidecar.inState(ref, 'stopped')
  await until('it is told', () => orchestrator.events.some(event =>
    event.type === 'pairing.failed' && event.session_ref === ref && event.data.code === 'unconfirmed'))
  assert.deepEqual(await devices(), [])
})

test('between the confirmation and the restart of the connection', async () => {
  const qr = await pairing()
  await fail('hold_at_signature')
  scanned(qr)
  await happened('hold_at_signature')
  await killAndRestart()
  await linked()
})

test('in the first login', async () => {
  const qr = await pairing()
  await fail('silence')
  await whatsapp.post('/scan', { qr, phone })
  await happened('silence')
  await killAndRestart()
  await linked()
})
