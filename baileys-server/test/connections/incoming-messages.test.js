import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import '../../src/silence-console.js'
import { WA_CERT_DETAILS } from '@whiskeysockets/baileys'
import { systemClock } from '../../src/clock.js'
import { IncomingMessages } from '../../src/connections/incoming-messages.js'
import { Registry } from '../../src/connections/registry.js'
import { StartSlots } from '../../src/connections/start-slots.js'
import { OrchestratorClient } from '../../src/orchestrator/client.js'
import { CredsLoader } from '../../src/orchestrator/creds-loader.js'
import { SessionBackup } from '../../src/orchestrator/session-backup.js'
import { settled } from '../support/clock.js'
import { FakeOrchestrator, TOKEN } from '../support/orchestrator.js'
import { until } from '../support/until.js'
import { startWhatsApp } from '../support/whatsapp.js'

/** What the store got when WhatsApp was told that a message arrived. Real Baileys, fake WhatsApp, in this process. */

const nothing = () => {}
const log = { debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => log }
const session = { sessionRef: 17, sessionId: 'loja', generation: 1, epoch: 1 }
const PHONE = '5511999990000'

let orchestrator, whatsapp, client, registry, contact

beforeEach(async () => {
  orchestrator = await new FakeOrchestrator().listen()
  whatsapp = await startWhatsApp()
  WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(whatsapp.rootKey, 'hex')
  client = new OrchestratorClient({ socketPath: orchestrator.socketPath, token: TOKEN, timeoutMs: 1000, retries: 0, clock: systemClock, log })
  let qr
  const credsLoader = new CredsLoader(client)
  registry = new Registry(started => ({
    credsLoader,
    backup: new SessionBackup(client, started),
    report: (type, data) => { if (type === 'pairing.qr') qr = data.qr },
    journal: null, startSlots: new StartSlots(1), clock: systemClock, random: () => 0.05, log,
    options: {
      writeRetries: 0,
      socket: { webSocketUrl: whatsapp.wsUrl, keepAliveMs: 30_000 },
      verification: { initialDelayMs: 10_000, throttleMs: 30_000, intervalMs: 300_000 }
    }
  }))
  registry.start(session)
  await until('a QR', () => qr)
  await whatsapp.post('/scan', { qr, phone: PHONE })
  await open()
  contact = await whatsapp.post('/contacts', { name: 'Ana' })
})

afterEach(async () => {
  await registry.shutDown()
  client.close()
  await whatsapp.close()
  await orchestrator.close()
})

const open = () => until('it is open', () => registry.describe().find(({ session_ref: ref }) => ref === 17)?.state === 'open')
const textsOf = ({ body }) => body.incoming_messages.map(([, text]) => JSON.parse(text).text)

/** The writes that carry this text, once WhatsApp was told that the message arrived. */
async function writesOf(text) {
  await until(`${text} is acknowledged`, async () => {
    const { messages } = await whatsapp.get('/messages?direction=in')
    return messages.some(message => message.text === text && message.status === 'receipted')
  })
  return orchestrator.callsTo('/write').filter(call => textsOf(call).includes(text))
}

const typesOf = ({ body }) => new Set(body.set.map(([type]) => type))

async function assertInTheWriteOfItsRatchetStep(text, ratchet = 'session') {
  const [write, ...others] = await writesOf(text)
  assert.ok(write, `${text} was written before it was acknowledged`)
  assert.deepEqual(others, [])
  for (const type of [ratchet, 'decrypted-message']) assert.ok(typesOf(write).has(type), `${text}: ${type}`)
  return JSON.parse(write.body.incoming_messages.find(([, data]) => data.includes(text))[1])
}

test('a message is in the write of its ratchet step, the first of a contact and those that follow', async () => {
  for (const text of ['with a pre-key', 'second']) {
    await whatsapp.post('/send', { from: contact.phone, to: PHONE, text })
    const data = await assertInTheWriteOfItsRatchetStep(text)
    assert.deepEqual([data.chat, data.sender, data.from_me, data.push_name, data.type], [contact.jid, contact.jid, false, 'Ana', 'text'])
    await registry.get(17).send({ to: contact.jid, text: 'an answer makes the next one an ordinary message' })
  }
})

test('a group message is in the write of its sender-key step', async () => {
  const { jid } = await whatsapp.post('/groups', { subject: 'Equipe', members: [PHONE, contact.phone] })
  for (const text of ['with the sender key', 'second']) {
    await whatsapp.post('/send', { from: contact.phone, group: jid, text })
    const data = await assertInTheWriteOfItsRatchetStep(text, 'sender-key')
    assert.deepEqual([data.chat, data.sender], [jid, contact.jid])
  }
})

test('what was typed on the phone itself is in the write of its ratchet step', async () => {
  await whatsapp.post('/send', { from: PHONE, to: contact.phone, text: 'typed on the phone' })
  const data = await assertInTheWriteOfItsRatchetStep('typed on the phone')
  assert.deepEqual([data.chat, data.sender, data.from_me], [contact.jid, `${PHONE}@s.whatsapp.net`, true])
})

test('messages that waited, and those while Baileys holds events back after a login, lose nothing to a kill', async () => {
  await registry.stop(17)
  const texts = ['waited 1', 'waited 2', 'waited 3']
  for (const text of texts) await whatsapp.post('/send', { from: contact.phone, to: PHONE, text })
  registry.start(session)
  for (const text of texts) await assertInTheWriteOfItsRatchetStep(text)
  await whatsapp.post('/send', { from: contact.phone, to: PHONE, text: 'right after the login' })
  await assertInTheWriteOfItsRatchetStep('right after the login')
})

test('a message that is not durable is not acknowledged, and is written when WhatsApp delivers it again', async () => {
  orchestrator.behave = (call, body) => call === 'auth-state/write' && body.incoming_messages.length > 0
    ? { status: 503, body: { code: 'database_unavailable' } } : undefined
  await whatsapp.post('/send', { from: contact.phone, to: PHONE, text: 'not yet' })
  await until('it was tried', () => orchestrator.callsTo('/write').some(call => textsOf(call).includes('not yet')))
  await settled(20)
  assert.equal(orchestrator.session(17).incoming.size, 0)
  orchestrator.behave = () => undefined
  await until('it is durable', () => [...orchestrator.session(17).incoming.values()].some(text => text.includes('not yet')))
})

test('a message whose receipt was lost is written again under the same key, so it is published once', async () => {
  const { id } = await whatsapp.post('/failures', { kind: 'drop_receipts', phone: PHONE, times: null })
  await whatsapp.post('/send', { from: contact.phone, to: PHONE, text: 'twice' })
  await until('it is durable', () => orchestrator.session(17).incoming.size === 1)
  await registry.stop(17)
  whatsapp.world.failures.clear({ id })
  registry.start(session)
  const writes = await writesOf('twice')
  assert.equal(writes.length, 2)
  assert.equal(orchestrator.session(17).incoming.size, 1)
  assert.equal(orchestrator.eventsOf('message.received').length, 1)
})

test('protocol messages and sender keys are not messages for a person', async () => {
  const { jid } = await whatsapp.post('/groups', { subject: 'Equipe', members: [PHONE, contact.phone] })
  await whatsapp.post('/send', { from: contact.phone, group: jid, text: 'one' })
  await writesOf('one')
  assert.deepEqual(orchestrator.callsTo('/write').flatMap(textsOf), ['one'])
})

test('what is emitted without having been decrypted here is staged once', async () => {
  const staged = []
  const incoming = new IncomingMessages(log)
  const listeners = {}
  const authState = { creds: { me: { id: `${PHONE}:7@s.whatsapp.net` } }, stageIncoming: async message => { staged.push(message) } }
  incoming.attach({ ws: { prependListener: nothing }, ev: { on: (name, listener) => { listeners[name] = listener } } }, authState)
  const message = { key: { id: 'M1', remoteJid: contact.jid }, message: { conversation: 'sent again by the phone' } }
  listeners['messages.upsert']({ messages: [{ key: null }, message, message, { ...message, message: { protocolMessage: {} } }] })
  assert.deepEqual(staged.map(([, text]) => JSON.parse(text).text), ['sent again by the phone'])
})
