import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import sharp from 'sharp'
import { FakeOrchestrator, TOKEN } from './support/orchestrator.js'
import { Sidecar } from './support/sidecar.js'
import { until } from './support/until.js'
import { startWhatsApp } from './support/whatsapp.js'

/** Every type of message, through the sidecar as a process: what the phones saw, and what was reported of theirs. */

const PHONE = '5511999990000'
const OWN = `${PHONE}@s.whatsapp.net`
const REF = 17

let folder, orchestrator, whatsapp, sidecar, ana, bia, group, picture

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'media-test-'))
  orchestrator = await new FakeOrchestrator().listen()
  whatsapp = await startWhatsApp()
  writeFileSync(join(folder, 'ca.pem'), whatsapp.mediaCertificate)
  await startSidecar()
  await sidecar.startSession(REF)
  const { qr } = await sidecar.inState(REF, 'pairing')
  await whatsapp.post('/scan', { qr: qr.qr, phone: PHONE })
  await sidecar.inState(REF, 'open')
  ana = await whatsapp.post('/contacts', { name: 'Ana' })
  bia = await whatsapp.post('/contacts', { name: 'Bia', addressing: 'lid' })
  group = (await whatsapp.post('/groups', { subject: 'Equipe', members: [PHONE, ana.phone, bia.phone] })).jid
  picture = await sharp({ create: { width: 640, height: 320, channels: 3, background: '#00aa55' } }).jpeg().toBuffer()
})

after(async () => {
  await sidecar?.stop('SIGKILL')
  await whatsapp.close()
  await orchestrator.close()
  rmSync(folder, { recursive: true, force: true })
})

async function startSidecar() {
  sidecar = await Sidecar.start({ orchestrator, whatsapp, env: { MEDIA_DIR: folder, NODE_EXTRA_CA_CERTS: join(folder, 'ca.pem') } })
}

const sha256 = bytes => createHash('sha256').update(bytes).digest('hex')

/** What the phone of `reader` saw of a message that is sent now. */
async function seen(message, reader = ana) {
  const { status, body } = await sidecar.call('POST', `/v1/sessions/${REF}/messages`, { to: ana.jid, ...message })
  assert.equal(status, 200, JSON.stringify(body))
  const record = await until(`${reader.phone} reads ${message.type}`, async () => {
    const { messages } = await whatsapp.get(`/messages?direction=out&content=true&own_phone=true`)
    return messages.find(({ id, to, status }) => id === body.message_id && to === reader.jid && status === 'decrypted')
  })
  return { ...record, id: body.message_id }
}

async function refused(message) {
  const { status, body } = await sidecar.call('POST', `/v1/sessions/${REF}/messages`, { to: ana.jid, ...message })
  return [status, body.code]
}

let files = 0
/** A file as the orchestrator stages it. */
function staged(content, mimetype) {
  const file = `file-${files++}`
  writeFileSync(join(folder, file), content)
  return { file, mimetype }
}

/** The event about a message that a phone sends now, and its row. */
async function reported(order) {
  const { id } = await whatsapp.post('/send', { from: ana.phone, to: PHONE, ...order })
  const text = await until(`${id} is reported`, () =>
    [...orchestrator.session(REF).incoming.values()].find(text => JSON.parse(text).message_id === id))
  const { origin, ...event } = JSON.parse(text)
  return { id, origin, event }
}

const referenceTo = ({ id, origin, event }) => ({ id, from_me: event.from_me, ...(origin.participant ? { participant: origin.participant } : {}), message: origin.message })
const referenceToOwn = id => ({ id, from_me: true, message: orchestrator.session(REF).sentMessages.get(id).toString('base64') })

test('a text with mentions and a link preview', async () => {
  const preview = { url: 'https://example.org/x', title: 'Título', description: 'Texto', thumbnail: picture.toString('base64') }
  const { content } = await seen({ type: 'text', text: 'Olá @5511900000001 https://example.org/x', mentions: ['5511900000001@s.whatsapp.net'], link_preview: preview })
  const { extendedTextMessage: text } = content
  assert.equal(text.text, 'Olá @5511900000001 https://example.org/x')
  assert.deepEqual(text.contextInfo.mentionedJid, ['5511900000001@s.whatsapp.net'])
  assert.deepEqual([text.matchedText, text.title, text.description], ['https://example.org/x', 'Título', 'Texto'])
  assert.equal(text.jpegThumbnail, picture.toString('base64'))
})

test('a link preview whose picture is a file gets a thumbnail of it', async () => {
  const { file } = staged(picture)
  const { content } = await seen({ type: 'text', text: 'https://example.org', link_preview: { url: 'https://example.org', title: 'T', thumbnail_file: file } })
  const { format, width, height } = await sharp(Buffer.from(content.extendedTextMessage.jpegThumbnail, 'base64')).metadata()
  assert.deepEqual([format, width, height], ['jpeg', 72, 36])
})

test('a message id that was fixed beforehand is the one the phone sees', async () => {
  assert.equal((await seen({ type: 'text', text: 'fixed', message_id: '3EB0FEED00000000000001' })).id, '3EB0FEED00000000000001')
})

const wav = () => {
  const samples = Buffer.alloc(8000 * 2)
  const header = Buffer.alloc(44)
  header.write('RIFF', 0).toString(); header.writeUInt32LE(36 + samples.length, 4); header.write('WAVEfmt ', 8)
  header.writeUInt32LE(16, 16); header.writeUInt16LE(1, 20); header.writeUInt16LE(1, 22); header.writeUInt32LE(8000, 24)
  header.writeUInt32LE(16_000, 28); header.writeUInt16LE(2, 32); header.writeUInt16LE(16, 34); header.write('data', 36)
  header.writeUInt32LE(samples.length, 40)
  return Buffer.concat([header, samples])
}

const MEDIA = [
  ['image', 'imageMessage', () => picture, 'image/jpeg', { caption: 'a foto' }, { caption: 'a foto', width: 640, height: 320 }],
  ['video', 'videoMessage', () => Buffer.alloc(300_000, 7), 'video/mp4', { caption: 'o filme', gif: true }, { caption: 'o filme', gifPlayback: true }],
  ['audio', 'audioMessage', wav, 'audio/wav', {}, { ptt: false, seconds: 1 }],
  ['voice', 'audioMessage', wav, 'audio/ogg; codecs=opus', {}, { ptt: true, seconds: 1 }],
  ['document', 'documentMessage', () => Buffer.from('%PDF-1.4 ...'), 'application/pdf', { file_name: 'nota.pdf', caption: 'a nota' }, { fileName: 'nota.pdf', caption: 'a nota' }],
  ['sticker', 'stickerMessage', () => sharp(picture).resize(512, 512).webp().toBuffer(), 'image/webp', {}, { width: 512, height: 512, isAnimated: false }]
]
for (const [type, field, make, mimetype, fields, expected] of MEDIA) {
  test(`${type}: the phone downloads and decrypts what was sent, and what a phone sends is streamed back`, async () => {
    const content = await make()
    const media = staged(content, mimetype)
    const message = await seen({ type, media, ...fields })
    assert.deepEqual(message.media, { field, size: content.length, sha256: sha256(content), mimetype })
    const shown = message.content[field]
    for (const [name, value] of Object.entries(expected)) assert.equal(shown[name], value, name)
    if (type === 'image') assert.equal((await sharp(Buffer.from(shown.jpegThumbnail, 'base64')).metadata()).width, 72)
    assert.ok(!readdirSync(folder).some(name => name.endsWith('.encrypted')), 'nothing is left behind')

    const { event, origin } = await reported({ content: { [field]: { mimetype, ...expected } }, media: { [field]: content.toString('base64') } })
    assert.deepEqual([event.type, event.text, event.media.kind, event.media.mimetype, event.media.size], [type, expected.caption ?? null, type, mimetype, content.length])
    const answer = await download(origin.message)
    assert.deepEqual([answer.status, answer.headers.get('content-type')], [200, mimetype])
    assert.equal(sha256(Buffer.from(await answer.arrayBuffer())), sha256(content))
  })
}

const download = message => fetch(`${sidecar.url}/v1/sessions/${REF}/media`, {
  method: 'POST', headers: { authorization: `Bearer ${TOKEN}` }, body: JSON.stringify({ message })
})

test('a location', async () => {
  const place = { latitude: -23.5, longitude: -46.6, name: 'Loja', address: 'Rua 1' }
  const { content } = await seen({ type: 'location', ...place })
  assert.deepEqual(content.locationMessage, { degreesLatitude: -23.5, degreesLongitude: -46.6, name: 'Loja', address: 'Rua 1' })
  const { event } = await reported({ content: { locationMessage: { degreesLatitude: -23.5, degreesLongitude: -46.6, name: 'Loja', address: 'Rua 1' } } })
  assert.deepEqual([event.type, event.location], ['location', place])
})

test('contacts, one and several', async () => {
  const cards = ['Ana', 'Bia'].map((name, n) => ({ name, vcard: `BEGIN:VCARD\nVERSION:3.0\nFN:${name}\nTEL;type=CELL;waid=551190000000${n}:+55 11 90000-000${n}\nEND:VCARD` }))
  const one = await seen({ type: 'contact', contacts: cards.slice(0, 1) })
  assert.deepEqual(one.content.contactMessage, { displayName: 'Ana', vcard: cards[0].vcard })
  const two = await seen({ type: 'contact', contacts: cards })
  assert.deepEqual(two.content.contactsArrayMessage.contacts.map(({ displayName }) => displayName), ['Ana', 'Bia'])
  const { event } = await reported({ content: { contactMessage: { displayName: 'Bia', vcard: cards[1].vcard } } })
  assert.deepEqual([event.type, event.contacts], ['contact', [{ name: 'Bia', phones: ['+55 11 90000-0001'], vcard: cards[1].vcard }]])
})

test('a poll, and its votes: from a number, from a LID, and after the process was killed', async () => {
  const options = ['Sim', 'Não', 'Talvez']
  const poll = { type: 'poll', name: 'Vamos?', options, selectable_count: 0 }
  const { id, content } = await seen(poll)
  assert.deepEqual(content.pollCreationMessage.options.map(({ optionName }) => optionName), options)
  const vote = async (message, from, options, order = { to: PHONE }) => {
    const { event } = await reported({ from: from.phone, ...order, vote: { poll: message, options } })
    return [event.type, event.target, event.options]
  }
  assert.deepEqual(await vote(id, ana, ['Não']), ['poll_vote', { message_id: id, from_me: true, sender: OWN }, ['Não']])
  const inGroup = await seen({ ...poll, to: group, selectable_count: 1 }, bia)
  assert.ok(inGroup.content.pollCreationMessageV3)
  assert.deepEqual((await vote(inGroup.id, bia, ['Talvez'], { group }))[2], ['Talvez'])
  await sidecar.stop('SIGKILL')
  await startSidecar()
  orchestrator.session(REF).epoch = 2
  await sidecar.startSession(REF, { epoch: 2 })
  await sidecar.inState(REF, 'open')
  assert.deepEqual((await vote(id, ana, ['Sim', 'Talvez']))[2], ['Sim', 'Talvez'])
  assert.deepEqual((await vote(id, ana, []))[2], [])
})

test('a reply, a reaction and a forward of what was received', async () => {
  const received = await reported({ text: 'Qual é o preço?' })
  const reply = await seen({ type: 'text', text: 'Dez', quoted: referenceTo(received) })
  const { contextInfo } = reply.content.extendedTextMessage
  assert.deepEqual([contextInfo.stanzaId, contextInfo.participant, contextInfo.quotedMessage.conversation], [received.id, ana.jid, 'Qual é o preço?'])
  assert.ok(!contextInfo.remoteJid)
  const reaction = await seen({ type: 'reaction', target: { id: received.id, from_me: false }, emoji: '👍' })
  assert.deepEqual([reaction.content.reactionMessage.text, reaction.content.reactionMessage.key], ['👍', { remoteJid: ana.jid, fromMe: false, id: received.id }])
  assert.equal((await seen({ type: 'reaction', target: { id: received.id, from_me: false }, emoji: '' })).content.reactionMessage.text, '')
  const forward = await seen({ type: 'forward', to: bia.jid, target: { ...referenceTo(received), chat: ana.jid } }, bia)
  assert.equal(forward.content.extendedTextMessage.text, 'Qual é o preço?')
  assert.equal(forward.content.extendedTextMessage.contextInfo.isForwarded, true)
})

test('in a group: who is quoted, and what was forwarded has no sender key of its author', async () => {
  const received = await reported({ from: bia.phone, to: undefined, group, text: 'no grupo' })
  assert.deepEqual([received.event.chat, received.event.sender, received.origin.participant], [group, bia.jid, bia.lid])
  const reply = await seen({ to: group, type: 'text', text: 'resposta', quoted: referenceTo(received) }, bia)
  assert.deepEqual([reply.content.extendedTextMessage.contextInfo.participant, reply.content.extendedTextMessage.contextInfo.quotedMessage.conversation], [bia.lid, 'no grupo'])
  const reaction = await seen({ to: group, type: 'reaction', target: { id: received.id, from_me: false, participant: bia.lid }, emoji: '🎉' }, bia)
  assert.deepEqual(reaction.content.reactionMessage.key, { remoteJid: group, fromMe: false, id: received.id, participant: bia.lid })
  const forward = await seen({ type: 'forward', target: { ...referenceTo(received), chat: group } })
  assert.ok(!forward.content.senderKeyDistributionMessage)
  const deleted = await seen({ to: group, type: 'delete', target: { id: received.id, from_me: false, participant: bia.lid } }, bia)
  assert.deepEqual([deleted.edit, deleted.content.protocolMessage.type], ['8', 'REVOKE'])
})

test('our own messages are edited, a caption too, deleted, quoted and forwarded with their media', async () => {
  const text = await seen({ type: 'text', text: 'antes' })
  const edit = await seen({ type: 'edit', target: referenceToOwn(text.id), text: 'depois' })
  const { key, type, editedMessage } = edit.content.protocolMessage
  assert.deepEqual([edit.edit, key.id, key.fromMe, type, editedMessage.extendedTextMessage.text], ['1', text.id, true, 'MESSAGE_EDIT', 'depois'])
  const image = await seen({ type: 'image', media: staged(picture, 'image/jpeg'), caption: 'antes' })
  const caption = await seen({ type: 'edit', target: referenceToOwn(image.id), text: 'legenda' })
  assert.equal(caption.content.protocolMessage.editedMessage.imageMessage.caption, 'legenda')
  const forward = await seen({ type: 'forward', to: bia.jid, target: referenceToOwn(image.id) }, bia)
  assert.equal(forward.media.sha256, sha256(picture))
  const reply = await seen({ type: 'text', text: 'veja', quoted: referenceToOwn(image.id) })
  assert.equal(reply.content.extendedTextMessage.contextInfo.quotedMessage.imageMessage.caption, 'antes')
  const deleted = await seen({ type: 'delete', target: { id: text.id, from_me: true } })
  assert.deepEqual([deleted.edit, deleted.content.protocolMessage.type, deleted.content.protocolMessage.key.id], ['7', 'REVOKE', text.id])
  assert.deepEqual(await refused({ type: 'forward', target: referenceToOwn(deleted.id) }), [422, 'message_not_forwardable'])
  assert.deepEqual(await refused({ type: 'forward', target: { id: 'X', from_me: false } }), [404, 'message_not_found'])
})

test("what phones reply, react, edit and delete is told from our side", async () => {
  const own = await seen({ type: 'text', text: 'nossa' })
  const key = { remoteJid: OWN, id: own.id, fromMe: false }
  const about = { message_id: own.id, from_me: true, sender: OWN }
  const reaction = await reported({ content: { reactionMessage: { key, text: '❤️' } } })
  assert.deepEqual([reaction.event.type, reaction.event.text, reaction.event.target, reaction.origin], ['reaction', '❤️', about, undefined])
  const quoting = { extendedTextMessage: { text: 'resposta', contextInfo: { stanzaId: own.id, participant: OWN, quotedMessage: { conversation: 'nossa' }, mentionedJid: [OWN], isForwarded: true } } }
  const { event } = await reported({ content: quoting })
  assert.deepEqual([event.text, event.quoted, event.mentions, event.forwarded], ['resposta', { message_id: own.id, sender: OWN, type: 'text', text: 'nossa' }, [OWN], true])
  const theirs = await reported({ text: 'deles' })
  const itself = { remoteJid: OWN, id: theirs.id, fromMe: true }
  const edit = await reported({ content: { protocolMessage: { key: itself, type: 'MESSAGE_EDIT', editedMessage: { conversation: 'mudou' } } } })
  assert.deepEqual([edit.event.type, edit.event.text, edit.event.target], ['edit', 'mudou', { message_id: theirs.id, from_me: false, sender: ana.jid }])
  const deleted = await reported({ content: { protocolMessage: { key: itself, type: 'REVOKE' } } })
  assert.deepEqual([deleted.event.type, deleted.event.target.message_id], ['delete', theirs.id])
  const poll = await reported({ content: { pollCreationMessageV3: { name: 'Qual?', options: [{ optionName: 'A' }, { optionName: 'B' }], selectableOptionsCount: 1 } } })
  assert.deepEqual([poll.event.type, poll.event.poll], ['poll', { name: 'Qual?', options: ['A', 'B'], selectable_count: 1 }])
})

test('a message that is sent is described as if it had come in, when that is asked for', async () => {
  const { body } = await sidecar.call('POST', `/v1/sessions/${REF}/messages`, { to: ana.jid, type: 'text', text: 'descrita', describe: true })
  const { origin, timestamp, ...event } = body.event
  assert.deepEqual(event, { message_id: body.message_id, chat: ana.jid, sender: OWN, from_me: true, push_name: null, type: 'text', text: 'descrita' })
  assert.ok(timestamp > 1_700_000_000)
  assert.deepEqual([origin.chat, origin.participant, typeof origin.message], [ana.jid, null, 'string'])
})

test('a request is in the log by its name, and what comes after it is not', async () => {
  await whatsapp.post('/media', { status: 500 })
  const failures = () => sidecar.output.split('\n').filter(line => line.includes('"event":"send_failed"') && line.endsWith('}'))
  const fail = async headers => {
    const before = failures().length
    const image = { to: ana.jid, type: 'image', media: staged(picture, 'image/jpeg') }
    assert.equal((await sidecar.call('POST', `/v1/sessions/${REF}/messages`, image, headers)).status, 502)
    const line = await until('it is logged', () => failures()[before])
    return JSON.parse(line).request_id
  }
  assert.equal(await fail({ 'x-request-id': 'order-4711/2' }), 'order-4711/2')
  assert.equal(await fail({}), undefined)
  assert.equal(await fail({ 'x-request-id': 'a "quoted" one' }), undefined)
  await whatsapp.post('/media')
})

test('a status post reaches its recipients, and our own phone, and nobody else', async () => {
  const post = { to: 'status@broadcast', recipients: [ana.jid], type: 'text', text: 'Aberto até 22 h', background_color: '#006d5b', font: 1 }
  const shown = await seen(post)
  assert.deepEqual([shown.chat, shown.text, shown.content.extendedTextMessage.backgroundArgb], ['status@broadcast', 'Aberto até 22 h', 0xff006d5b])
  const { messages } = await whatsapp.get('/messages?direction=out&own_phone=true')
  assert.deepEqual(messages.filter(({ id }) => id === shown.id).map(({ to }) => to).toSorted(), [ana.jid, OWN].toSorted())
  const image = await seen({ to: 'status@broadcast', recipients: [ana.jid, bia.jid], type: 'image', media: staged(picture, 'image/jpeg') }, bia)
  assert.equal(image.media.sha256, sha256(picture))
})

test('a status post of a contact is told, with its author', async () => {
  const { event, origin } = await reported({ status: true, text: 'Na praia' })
  const { timestamp: _, ...told } = event
  assert.deepEqual(told, { message_id: event.message_id, chat: 'status@broadcast', sender: ana.jid, from_me: false, push_name: 'Ana', type: 'text', text: 'Na praia' })
  assert.deepEqual([origin.chat, origin.participant], ['status@broadcast', ana.jid])
  const reply = await seen({ type: 'text', text: 'Que inveja', quoted: { ...referenceTo({ id: event.message_id, origin, event }), chat: 'status@broadcast' } })
  const { stanzaId, participant, remoteJid } = reply.content.extendedTextMessage.contextInfo
  assert.deepEqual([stanzaId, participant, remoteJid], [event.message_id, ana.jid, 'status@broadcast'])
  const again = await reported({ from: bia.phone, status: true, text: 'Eu também' })
  assert.deepEqual([again.event.chat, again.event.sender], ['status@broadcast', bia.jid])
})

test('a channel: its followers see what is posted, files too, and posts of a channel that is followed are told', async () => {
  const own = await whatsapp.post('/channels', { from: PHONE, name: 'Ofertas' })
  await whatsapp.post('/follow', { from: ana.phone, channel: own.id })
  const post = await seen({ to: own.id, type: 'text', text: 'Tudo pela metade' })
  assert.deepEqual([post.chat, post.text], [own.id, 'Tudo pela metade'])
  const image = await seen({ to: own.id, type: 'image', media: staged(picture, 'image/jpeg'), caption: 'Olha' })
  assert.deepEqual(image.media, { field: 'imageMessage', size: picture.length, sha256: sha256(picture), mimetype: 'image/jpeg' })
  assert.deepEqual([image.content.imageMessage.caption, image.content.imageMessage.mediaKey ?? null], ['Olha', null])
  assert.equal(sha256(Buffer.from(await (await download(orchestrator.session(REF).sentMessages.get(image.id).toString('base64'))).arrayBuffer())), sha256(picture))
  for (const message of [{ type: 'location', latitude: 1, longitude: 1 }, { type: 'text', text: 'x', quoted: { id: post.id, from_me: true } }]) {
    assert.deepEqual(await refused({ to: own.id, ...message }), [422, 'invalid_request'])
  }
  const theirs = await whatsapp.post('/channels', { from: ana.phone, name: 'Ana' })
  await whatsapp.post('/follow', { from: PHONE, channel: theirs.id })
  const told = await reported({ channel: theirs.id, to: undefined, text: 'Novidade' })
  const { event } = told
  assert.deepEqual([event.chat, event.sender, event.from_me, event.text], [theirs.id, theirs.id, false, 'Novidade'])
  const forward = await seen({ type: 'forward', to: bia.jid, target: { ...referenceTo(told), chat: theirs.id } }, bia)
  assert.equal(forward.content.extendedTextMessage.text, 'Novidade')
})

test('a number that is not on WhatsApp is refused, one written otherwise is found, and a known contact costs no question', async () => {
  const questions = async () => (await whatsapp.get('/counts')).number_queries
  const before = await questions()
  for (const _again of [1, 2]) assert.deepEqual(await refused({ to: '5511000000000@s.whatsapp.net', type: 'text', text: 'x' }), [422, 'not_on_whatsapp'])
  assert.equal(await questions(), before + 1)
  const caio = await whatsapp.post('/contacts', { phone: '551170000000', also: '5511970000000', name: 'Caio' })
  for (const text of ['um', 'dois']) assert.equal((await seen({ to: '5511970000000@s.whatsapp.net', type: 'text', text }, caio)).chat, caio.jid)
  await seen({ to: caio.jid, type: 'text', text: 'três' }, caio)
  assert.equal(await questions(), before + 2)
})

test('media that is not there, not possible or gone is told by name, and the process lives', async () => {
  assert.deepEqual(await refused({ type: 'image', media: { file: 'absent', mimetype: 'image/jpeg' } }), [422, 'media_missing'])
  assert.deepEqual(await refused({ type: 'image', media: { file: '../secret', mimetype: 'image/jpeg' } }), [422, 'invalid_request'])
  await whatsapp.post('/media', { status: 500 })
  assert.deepEqual(await refused({ type: 'image', media: staged(picture, 'image/jpeg') }), [502, 'send_failed'])
  await whatsapp.post('/media')
  const { origin } = await reported({ content: { imageMessage: { mimetype: 'image/jpeg' } }, media: { imageMessage: picture.toString('base64') } })
  const odd = await reported({ content: { imageMessage: { mimetype: 'image/jpeg\r\nX-Evil: 1', fileLength: 3 } }, media: { imageMessage: picture.toString('base64') } })
  assert.equal((await download(odd.origin.message)).headers.get('content-type'), 'application/octet-stream')
  const elsewhere = { url: `http://127.0.0.1:1/secret`, mediaKey: 'AAAA', mimetype: 'image/jpeg' }
  const aimed = await reported({ content: { imageMessage: { ...elsewhere, directPath: '@127.0.0.1:1/secret' } } })
  assert.equal((await (await download(aimed.origin.message)).json()).code, 'media_expired')
  const text = await reported({ text: 'sem mídia' })
  assert.equal((await (await download(text.origin.message)).json()).code, 'media_not_found')
  await whatsapp.post('/media', { status: 503 })
  assert.equal((await (await download(origin.message)).json()).code, 'media_host_unreachable')
  await whatsapp.post('/media')
  for (const [path, file] of whatsapp.world.media.files) whatsapp.world.media.files.set(path, Buffer.concat([file.subarray(0, -1), Buffer.from([file.at(-1) ^ 1])]))
  const damaged = await download(origin.message)
  await assert.rejects(damaged.arrayBuffer())
  await whatsapp.post('/media', { forget: true })
  assert.deepEqual(await (async answer => [answer.status, (await answer.json()).code])(await download(origin.message)), [410, 'media_expired'])
  assert.equal((await sidecar.call('GET', '/health')).status, 200)
  assert.equal(sidecar.logged('uncaught_exception'), undefined)
  assert.equal((await whatsapp.get('/counts')).media_broken, 0)
})
