import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { FakeOrchestrator } from './support/orchestrator.js'
import { Sidecar } from './support/sidecar.js'
import { until } from './support/until.js'
import { startWhatsApp } from './support/whatsapp.js'

/** The whole sidecar process while its orchestrator is away: the socket stays, and the journal keeps what was promised. */

const PHONE = '5511999990000'
const REF = 17

let orchestrator, whatsapp, sidecar, folder, env

beforeEach(async () => {
  orchestrator = await new FakeOrchestrator().listen()
  whatsapp = await startWhatsApp()
  folder = mkdtempSync(join(tmpdir(), 'sidecar-journal-'))
  env = { JOURNAL_DIR: folder, JOURNAL_KEYS: '07'.repeat(32) }
})

afterEach(async () => {
  await sidecar?.stop('SIGKILL')
  sidecar = null
  await whatsapp.close()
  await orchestrator.close()
  rmSync(folder, { recursive: true, force: true })
})

async function startSidecar() {
  sidecar = await Sidecar.start({ orchestrator, whatsapp, env })
}

async function pairWithContact() {
  await startSidecar()
  await sidecar.startSession(REF)
  const { qr } = await sidecar.inState(REF, 'pairing')
  await whatsapp.post('/scan', { qr: qr.qr, phone: PHONE })
  await sidecar.inState(REF, 'open')
  return await whatsapp.post('/contacts', { name: 'Ana' })
}

const listing = async () => (await sidecar.call('GET', '/v1/sessions')).body
const journalBytes = () => statSync(join(folder, 'journal')).size
const degraded = () => until('it is degraded', async () => (await sidecar.session(REF)).degraded)
const delivered = text => until(`the contact reads ${text}`, async () => {
  const { messages } = await whatsapp.get('/messages?direction=out')
  return messages.find(message => message.text === text && message.status === 'decrypted')
})

test('while the orchestrator is away messages go on, and it gets everything when it is back', async () => {
  const contact = await pairWithContact()
  await orchestrator.shut()
  for (const text of ['one', 'two', 'three']) {
    assert.equal((await sidecar.send(REF, contact.jid, text)).status, 200)
    await delivered(text)
  }
  await degraded()
  await whatsapp.post('/send', { from: contact.phone, to: PHONE, text: 'from outside' })
  await until('it is in the journal', async () => (await whatsapp.get('/counts')).in.acknowledged !== 0 && journalBytes() > 0)
  await orchestrator.open()
  await until('it is drained', async () => !(await sidecar.session(REF)).degraded && (await listing()).journal.bytes === 0)
  assert.equal(orchestrator.session(REF).sentMessages.size, 3)
  const { logins, message_number_reused: reused } = await whatsapp.get('/counts')
  assert.deepEqual({ logins, reused }, { logins: 1, reused: 0 })
})

test('killed while it is degraded, the next process writes the journal before it starts anything', async () => {
  const contact = await pairWithContact()
  await orchestrator.shut()
  for (const text of ['one', 'two']) assert.equal((await sidecar.send(REF, contact.jid, text)).status, 200)
  await degraded()
  await sidecar.stop('SIGKILL')
  assert.ok(journalBytes() > 0)
  assert.ok(!readFileSync(join(folder, 'journal')).includes('_sessions'))
  const hellos = orchestrator.hellos.length
  let busy = true
  orchestrator.behave = call => call === 'journal/recover' && busy ? { status: 409, body: { status: 409, code: 'lease_busy' } } : undefined
  await orchestrator.open()
  await startSidecar()
  await until('it says hello', () => orchestrator.hellos.length > hellos)
  const { draining, journal } = await listing()
  assert.deepEqual([draining, journal.bytes > 0, journal.limit], [true, true, 256 * 1024 * 1024])
  const refused = await sidecar.startSession(REF)
  assert.deepEqual([refused.status, refused.body.code], [503, 'draining'])
  busy = false
  await until('it says hello again', () => orchestrator.hellos.length > hellos + 1)
  assert.deepEqual([(await listing()).draining, journalBytes()], [false, 0])
  assert.equal(orchestrator.session(REF).sentMessages.size, 2)
  const { epoch } = orchestrator.session(REF)
  assert.equal(epoch, 2)
  await sidecar.startSession(REF, { epoch })
  await sidecar.inState(REF, 'open')
  assert.equal((await sidecar.send(REF, contact.jid, 'after')).status, 200)
  await delivered('after')
  assert.equal((await whatsapp.get('/counts')).message_number_reused, 0)
})

test('a sidecar that is stopped while it is degraded leaves the journal to the next', async () => {
  const contact = await pairWithContact()
  await orchestrator.shut()
  assert.equal((await sidecar.send(REF, contact.jid, 'one')).status, 200)
  await degraded()
  assert.deepEqual(await sidecar.stop('SIGTERM'), { code: 0, signal: null })
  assert.ok(journalBytes() > 0)
  await orchestrator.open()
  await startSidecar()
  await until('it is drained', async () => !(await listing()).draining)
  assert.equal(orchestrator.session(REF).sentMessages.size, 1)
})

test('a sidecar that is stopped when the orchestrator has everything leaves no journal', async () => {
  await pairWithContact()
  assert.deepEqual(await sidecar.stop('SIGTERM'), { code: 0, signal: null })
  assert.deepEqual(orchestrator.callsTo('/goodbye').at(-1).body.undrained, [])
  assert.equal(journalBytes(), 0)
})
