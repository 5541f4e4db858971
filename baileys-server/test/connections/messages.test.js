import assert from 'node:assert/strict'
import { test } from 'node:test'
import { receiptFromMember, receiptFromUpdate, receivedMessage } from '../../src/connections/messages.js'

const OWN = '5511999990000:7@s.whatsapp.net'
const key = { id: 'M1', remoteJid: '5511888880000@s.whatsapp.net', fromMe: false }

test('a text message', () => {
  assert.deepEqual(receivedMessage({ key, message: { conversation: 'Olá' }, messageTimestamp: 1_766_000_000, pushName: 'Ana' }, OWN), {
    message_id: 'M1', chat: '5511888880000@s.whatsapp.net', sender: '5511888880000@s.whatsapp.net', from_me: false, timestamp: 1_766_000_000,
    push_name: 'Ana', type: 'text', text: 'Olá'
  })
})

test('a message from a LID is told with the phone number when WhatsApp gave it', () => {
  const message = { key: { id: 'M', remoteJid: '100@lid', remoteJidAlt: '5511888880000@s.whatsapp.net' }, message: { conversation: 'x' } }
  assert.equal(receivedMessage(message, OWN).chat, '5511888880000@s.whatsapp.net')
  message.key.remoteJidAlt = undefined
  assert.equal(receivedMessage(message, OWN).chat, '100@lid')
})

test('in a group the sender is the member; what the phone sent is from us', () => {
  const group = { id: 'M', remoteJid: '1203@g.us', participant: '100:3@lid', participantAlt: '5511888880000:3@s.whatsapp.net' }
  assert.equal(receivedMessage({ key: group, message: { conversation: 'x' } }, OWN).sender, '5511888880000@s.whatsapp.net')
  assert.equal(receivedMessage({ key: { ...key, fromMe: true }, message: { conversation: 'x' } }, OWN).sender, '5511999990000@s.whatsapp.net')
})

const CONTENTS = [
  [{ extendedTextMessage: { text: 't' } }, 'text', 't'],
  [{ imageMessage: { caption: 'c' } }, 'image', 'c'],
  [{ ephemeralMessage: { message: { videoMessage: { caption: 'v' } } } }, 'video', 'v'],
  [{ audioMessage: {} }, 'audio', null],
  [{ audioMessage: { ptt: true } }, 'voice', null],
  [{ documentWithCaptionMessage: { message: { documentMessage: { caption: 'd' } } } }, 'document', 'd'],
  [{ reactionMessage: { text: '👍' } }, 'reaction', '👍'],
  [{ pollCreationMessage: { name: 'p' } }, 'poll', 'p'],
  [{ orderMessage: {} }, 'unknown', null]
]
for (const [message, type, text] of CONTENTS) {
  test(`content ${Object.keys(message)[0]} is ${type}`, () => {
    const received = receivedMessage({ key, message }, OWN)
    assert.deepEqual([received.type, received.text], [type, text])
  })
}

test('what is not for a person is left out: stubs and protocol messages', () => {
  assert.equal(receivedMessage({ key, messageStubType: 2, messageStubParameters: ['No session record'] }, OWN), null)
  assert.equal(receivedMessage({ key, message: { protocolMessage: { type: 3 } } }, OWN), null)
  assert.equal(receivedMessage({ key, message: { senderKeyDistributionMessage: { groupId: 'g' } } }, OWN), null)
})

test('a status post is of its author, by the phone number where that is told, and a channel post of the channel', () => {
  const status = { ...key, remoteJid: 'status@broadcast', participant: '7@lid', remoteJidAlt: '5511988887777@s.whatsapp.net' }
  const { chat, sender } = receivedMessage({ key: status, message: { conversation: 'x' } }, OWN)
  assert.deepEqual([chat, sender], ['status@broadcast', '5511988887777@s.whatsapp.net'])
  const post = receivedMessage({ key: { id: 'M', remoteJid: '120363101234567890@newsletter' }, message: { conversation: 'x' } }, OWN)
  assert.deepEqual([post.chat, post.sender, post.from_me], ['120363101234567890@newsletter', '120363101234567890@newsletter', false])
})

test('receipts of our messages only', () => {
  const ours = { ...key, fromMe: true }
  const statuses = [0, 1, 2, 3, 4, 5].map(status => receiptFromUpdate({ key: ours, update: { status } })?.status)
  assert.deepEqual(statuses, ['failed', undefined, 'sent', 'delivered', 'read', 'played'])
  assert.equal(receiptFromUpdate({ key, update: { status: 3 } }), null)
  assert.equal(receiptFromUpdate({ key: ours, update: { message: {} } }), null)
  const member = { key: { id: 'M', remoteJid: '1203@g.us', fromMe: true }, receipt: { userJid: '1@lid', readTimestamp: 1 } }
  assert.deepEqual(receiptFromMember(member), { message_id: 'M', chat: '1203@g.us', status: 'read', participant: '1@lid' })
})
