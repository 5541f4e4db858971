import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { IncomingMessages, messageKey } from '../../src/connections/incoming-messages.js'
import { Polls } from '../../src/messages/polls.js'
import { settled } from '../support/clock.js'
import { InProcess, PHONE, SESSION, silentLog } from '../support/in-process.js'
import { until } from '../support/until.js'

/** What the store got when WhatsApp was told that a message arrived. */

let sidecar, orchestrator, whatsapp, registry, contact

beforeEach(async () => {
  sidecar = await InProcess.start();
  ({ orchestrator, whatsapp, registry } = sidecar)
  await sidecar.pair()
  contact = await whatsapp.post('/contacts', { name: 'Ana' })
})

afterEach(() => sidecar.close())

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
    await registry.get(17).send({ to: contact.jid, type: 'text', text: 'an answer makes the next one an ordinary message' })
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
  registry.start(SESSION)
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
  registry.start(SESSION)
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
  const incoming = new IncomingMessages(silentLog, new Polls())
  const listeners = {}
  const authState = { creds: { me: { id: `${PHONE}:7@s.whatsapp.net` } }, stageIncoming: async message => { staged.push(message) } }
  incoming.attach({ ws: { prependListener: () => {} }, ev: { on: (name, listener) => { listeners[name] = listener } } }, authState)
  const message = { key: { id: 'M1', remoteJid: contact.jid }, message: { conversation: 'sent again by the phone' } }
  listeners['messages.upsert']({ messages: [{ key: null }, message, message, { ...message, message: { protocolMessage: {} } }] })
  assert.deepEqual(staged.map(([, text]) => JSON.parse(text).text), ['sent again by the phone'])
})

test('the key of a message is the one by which the orchestrator finds it', () => {
  // tests/unit/domain/test_message_key.py has the same example.
  const message = { message_id: '3EB0AA', chat: '120363000000000000@g.us', sender: '5511988887777@s.whatsapp.net' }
  assert.equal(messageKey(message), 'e9994ac2e7e9e862f75b78fb121a9557d38e5e879659fba3dc607f3e47cd7bb0')
})
