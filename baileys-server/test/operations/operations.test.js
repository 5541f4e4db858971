import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import '../fake-whatsapp/unref-timers.js'
import { operation } from '../../src/operations/perform.js'
import { InProcess, PHONE, SESSION } from '../support/in-process.js'
import { until } from '../support/until.js'

/** Every operation by the real Baileys, on one linked account, and what WhatsApp saw of it. */

let sidecar, whatsapp, ana, bia, ana_lid, bia_lid

before(async () => {
  sidecar = await InProcess.start()
  whatsapp = sidecar.whatsapp
  ana = await whatsapp.post('/contacts', { phone: '5511900000001', name: 'Ana', about: 'Na praia', picture: true })
  bia = await whatsapp.post('/contacts', { phone: '5511900000002', name: 'Bia', hides_picture: true, refuses_groups: true })
  ;[ana_lid, bia_lid] = [ana.lid, bia.lid]
  ;[ana, bia] = [ana.jid, bia.jid]
  await sidecar.pair()
  const synced = () => JSON.parse(sidecar.orchestrator.session(17).creds ?? '{}').myAppStateKeyId
  await until('the phone gave its app state key', synced)
})

after(async () => {
  const counts = await whatsapp.get('/counts')
  const { violations } = await whatsapp.get('/violations')
  await sidecar.close()
  assert.deepEqual([counts.unknown_queries, counts.faults], [0, 0], JSON.stringify(violations))
})

const perform = (name, body) => sidecar.registry.getForSend(SESSION.sessionRef).perform(operation(name, body))
const seen = async kind => (await whatsapp.get(`/seen?kind=${kind}&phone=${PHONE}`)).seen.map(({ kind: _, phone: __, ...rest }) => rest)
const sees = (kind, detail) => until(`WhatsApp sees ${kind} ${JSON.stringify(detail)}`, async () => {
  const all = await seen(kind)
  return all.some(each => Object.entries(detail).every(([name, value]) => JSON.stringify(each[name]) === JSON.stringify(value)))
})
const learned = (kind, id, detail) => until(`${kind} ${id} is known as ${JSON.stringify(detail)}`, () =>
  sidecar.directory.some(([k, i, fields]) => k === kind && i === id && fields && Object.entries(detail).every(([name, value]) => JSON.stringify(fields[name]) === JSON.stringify(value))))
const fails = (name, body, expected) => assert.rejects(async () => perform(name, body), expected)

test('five hundred numbers are checked at once, each by the number that was asked for', async () => {
  const numbers = Array.from({ length: 498 }, (_, n) => `5511980000${String(n).padStart(3, '0')}`)
  const { numbers: found } = await perform('numbers.check', { numbers: [...numbers, '5511900000001', '5511900000002'] })
  assert.equal(found.length, 500)
  assert.deepEqual(found.at(-2), { number: '5511900000001', exists: true, jid: ana, lid: ana_lid })
  assert.deepEqual(found[7], { number: numbers[7], exists: false, jid: null, lid: null })
  await fails('numbers.check', { numbers: [...numbers, ...numbers] }, { code: 'invalid_request', message: /numbers must be a list of 1 to 500/ })
})

test('abouts and pictures of others: there, not there, hidden', async () => {
  assert.deepEqual(await perform('contacts.about', { jid: ana }), { about: 'Na praia', set_at: '2026-09-21T14:13:20.000Z' })
  assert.deepEqual(await perform('contacts.about', { jid: bia }), { about: null, set_at: null })
  const shown = await perform('contacts.picture', { jid: ana, size: 'image' })
  assert.match(shown.url, /-image\.jpg$/)
  assert.deepEqual(await perform('contacts.picture', { jid: bia, size: 'preview' }), { url: null, hidden: true })
  const nobody = await whatsapp.post('/contacts', { phone: '5511900000003' })
  assert.deepEqual(await perform('contacts.picture', { jid: nobody.jid, size: 'preview' }), { url: null, hidden: false })
})

test('a contact is saved on the phone and forgotten again', async () => {
  await perform('contacts.save', { jid: ana, name: 'Ana Maria' })
  await sees('app_state', { index: ['contact', ana], value: { contactAction: { fullName: 'Ana Maria', firstName: 'Ana', lidJid: ana_lid, saveOnPrimaryAddressbook: true } } })
  await learned('contact', ana, { name: 'Ana Maria', lid: ana_lid })
  await perform('contacts.remove', { jid: ana })
  await sees('app_state', { index: ['contact', ana], removed: true })
})

test('the own profile', async () => {
  // WhatsApp knows presence by name, and this account has none yet.
  await fails('presence.set', { presence: 'available' }, { code: 'whatsapp_refused' })
  await perform('profile.set_name', { name: 'Loja Centro' })
  await sees('name', { name: 'Loja Centro' })
  await perform('profile.set_about', { about: 'Aberta até as 18 h' })
  await sees('about', { about: 'Aberta até as 18 h' })
  const jpeg = Buffer.concat([Buffer.from('ffd8ffe0', 'hex'), Buffer.alloc(2000)])
  await perform('profile.set_picture', { picture: jpeg.toString('base64') })
  await sees('picture', { of: null, bytes: jpeg.length })
  const profile = await perform('profile.get', {})
  assert.match(profile.picture_url, /^https:/)
  assert.deepEqual({ ...profile, picture_url: '', lid: '' }, { jid: `${PHONE}@s.whatsapp.net`, lid: '', name: 'Loja Centro', about: 'Aberta até as 18 h', picture_url: '' })
  await perform('profile.remove_picture', {})
  assert.equal((await perform('profile.get', {})).picture_url, null)
  await fails('profile.set_picture', { picture: Buffer.from('GIF89a..').toString('base64') }, { code: 'invalid_request' })
})

test('presence is shown, typing and recording too, and that of others is told', async () => {
  await perform('presence.set', { presence: 'unavailable' })
  await sees('presence', { presence: 'unavailable' })
  await perform('presence.chat', { chat: ana, state: 'composing' })
  await perform('presence.chat', { chat: ana, state: 'recording' })
  await sees('chat_state', { to: ana, state: 'composing' })
  await sees('chat_state', { to: ana, state: 'recording' })
  await perform('presence.subscribe', { chat: ana })
  await sees('subscribed', { to: ana })
  await whatsapp.post('/presence', { from: ana, to: PHONE, state: 'available' })
  await whatsapp.post('/presence', { from: ana, to: PHONE, state: 'composing' })
  await until('both are told', () => ['available', 'composing'].every(presence =>
    sidecar.reports.some(each => each.type === 'presence.update' && each.chat === ana && each.presence === presence)))
})

test('blocking and unblocking', async () => {
  await perform('blocklist.update', { jid: bia, action: 'block' })
  await sees('blocklist', { action: 'block', user: bia })
  assert.deepEqual(await perform('blocklist.get', {}), { blocked: [{ jid: bia, lid: bia_lid }] })
  await perform('blocklist.update', { jid: bia, action: 'unblock' })
  assert.deepEqual(await perform('blocklist.get', {}), { blocked: [] })
})

test('what others do to a group is told, in order and with who did it', async () => {
  const { jid: group } = await whatsapp.post('/groups', { subject: 'Bairro', members: [ana, PHONE] })
  const change = order => whatsapp.post('/group-change', { from: ana, group, ...order })
  const told = () => sidecar.reports.filter(each => each.group === group).map(({ group: _, ...rest }) => rest)
  await change({ change: 'add', participants: [bia] })
  await change({ change: 'promote', participants: [PHONE] })
  await change({ change: 'subject', text: 'Vila' })
  await change({ change: 'description', text: 'Quem mora aqui' })
  await change({ change: 'announcement' })
  await change({ change: 'locked' })
  await change({ change: 'ephemeral', attrs: { expiration: '86400' } })
  await change({ change: 'demote', participants: [PHONE] })
  await change({ change: 'remove', participants: [bia] })
  await change({ change: 'remove', participants: [PHONE] })
  await until('all of it is told', () => told().length === 10)
  const [author, ours] = [{ jid: ana, lid: ana_lid }, { jid: `${PHONE}@s.whatsapp.net`, lid: told()[1].participants[0].lid }]
  assert.deepEqual(told(), [
    { type: 'group.participants', action: 'add', participants: [{ jid: bia, lid: bia_lid }], author },
    { type: 'group.participants', action: 'promote', participants: [ours], author },
    ...[{ subject: 'Vila' }, { description: 'Quem mora aqui' }, { announce: true }, { locked: true }, { ephemeral_seconds: 86_400 }]
      .map(changes => ({ type: 'group.updated', changes, author })),
    { type: 'group.participants', action: 'demote', participants: [ours], author },
    { type: 'group.participants', action: 'remove', participants: [{ jid: bia, lid: bia_lid }], author },
    { type: 'group.participants', action: 'remove', participants: [ours], author }
  ])
})

test('a message gets a label and loses it', async () => {
  await perform('labels.save', { label_id: '101', name: 'Pedido', color: 2 })
  await perform('labels.assign_message', { label_id: '101', chat: ana, message_id: '3EB0AB', assigned: true })
  await sees('app_state', { index: ['label_message', '101', ana_lid, '3EB0AB', '0', '0'], value: { labelAssociationAction: { labeled: true } } })
  await perform('labels.assign_message', { label_id: '101', chat: ana, message_id: '3EB0AB', assigned: false })
  await sees('app_state', { index: ['label_message', '101', ana_lid, '3EB0AB', '0', '0'], value: { labelAssociationAction: { labeled: false } } })
})

test('a group from its creation to leaving it', async () => {
  const made = await perform('groups.create', { subject: 'Equipe', participants: [ana] })
  const group = made.group_id
  assert.deepEqual([made.subject, made.owner, made.size, made.participants.map(({ jid, role }) => [jid, role])],
    ['Equipe', `${PHONE}@s.whatsapp.net`, 2, [[`${PHONE}@s.whatsapp.net`, 'superadmin'], [ana, 'member']]])
  const added = await perform('groups.participants', { group, participants: [bia, ana, '5511911112222@s.whatsapp.net'], action: 'add' })
  assert.deepEqual(added.participants.map(({ jid, code, done }) => [jid, code, done]),
    [[bia, 403, false], [ana, 409, false], ['5511911112222@s.whatsapp.net', 404, false]])
  const promoted = await perform('groups.participants', { group, participants: [ana_lid], action: 'promote' })
  assert.deepEqual(promoted.participants, [{ jid: ana, lid: ana_lid, code: 200, done: true }])
  await perform('groups.update', {
    group, subject: 'Equipe 2', description: 'Quem vende', announce: true, locked: true, members_can_add: false, join_approval: true, ephemeral_seconds: 604_800
  })
  const changed = await perform('groups.get', { group })
  const { subject, description, announce, locked, members_can_add: canAdd, join_approval: approval, ephemeral_seconds: ephemeral } = changed
  assert.deepEqual([subject, description, announce, locked, canAdd, approval, ephemeral], ['Equipe 2', 'Quem vende', true, true, false, true, 604_800])
  assert.equal(changed.participants.find(({ jid }) => jid === ana).role, 'admin')
  await perform('groups.picture', { group, picture: Buffer.from('ffd8ffe000000000', 'hex').toString('base64') })
  await sees('picture', { of: group, bytes: 8 })
  const { invite_code: invite } = await perform('groups.invite', { group, revoke: false })
  assert.equal((await perform('groups.preview', { invite_code: invite })).group_id, group)
  const renewed = await perform('groups.invite', { group, revoke: true })
  assert.notEqual(renewed.invite_code, invite)
  await fails('groups.preview', { invite_code: invite }, { code: 'whatsapp_refused', whatsappCode: 410 })
  await whatsapp.post('/join-request', { from: bia, group })
  const { requests } = await perform('groups.requests', { group })
  assert.deepEqual(requests, [{ jid: bia, lid: bia_lid, requested_at: '2026-09-21T14:13:20.000Z' }])
  const approved = await perform('groups.answer_requests', { group, participants: [bia_lid], action: 'approve' })
  assert.deepEqual(approved.participants, [{ jid: bia, lid: bia_lid, code: 200, done: true }])
  assert.deepEqual((await perform('groups.list', { limit: 10 })), { groups: [{ ...changed, size: 3, participants: undefined }].map(each => JSON.parse(JSON.stringify(each))), more: false })
  await perform('groups.leave', { group })
  await fails('groups.get', { group }, { code: 'whatsapp_refused', whatsappCode: 403 })
  await learned('chat', group, { name: 'Equipe' })
})

test('what an account may not do in a group is refused with WhatsApp’s code, and says what was done before', async () => {
  const { jid: group } = await whatsapp.post('/groups', { subject: 'Dos outros', members: [ana, PHONE] })
  await fails('groups.update', { group, subject: 'Nosso', announce: true },
    { code: 'whatsapp_refused', whatsappCode: 403, message: 'announce: WhatsApp refused it: forbidden (403). Changed before: subject.' })
  await fails('groups.invite', { group, revoke: false }, { code: 'whatsapp_refused', whatsappCode: 401 })
  await fails('groups.get', { group: '12036300000999999@g.us' }, { code: 'whatsapp_refused', whatsappCode: 404 })
  assert.equal((await perform('groups.join', { invite_code: (await inviteOf(group)) })).group_id, group)
})

/** @param {string} group */
const inviteOf = async group => whatsapp.world.registry.group(group).inviteCode

test('messages are read, and chats archived, pinned, muted and marked', async () => {
  const { id } = await whatsapp.post('/send', { from: ana, to: PHONE, text: 'Olá' })
  await learned('chat', ana, { unread_added: 1 })
  await perform('chats.read', { chat: ana, messages: [{ message_id: id }] })
  await sees('read', { chat: ana, ids: [id], type: 'read' })
  await learned('chat', ana, { unread_count: 0 })
  const { id: next } = await whatsapp.post('/send', { from: ana, to: PHONE, text: 'Alguém aí?' })
  await until('it is the last message', () => sidecar.directory.some(([, , fields]) => fields?.last_message?.id === next))
  for (const change of ['archive', 'unarchive', 'pin', 'unpin', 'unmute', 'mark_unread', 'mark_read']) await perform('chats.modify', { chat: ana, change })
  await perform('chats.modify', { chat: ana, change: 'mute', until: 1_900_000_000_000 })
  await sees('read', { chat: ana, ids: [next] })
  const range = { lastMessageTimestamp: expectAny(), messages: expectAny() }
  const states = (await seen('app_state')).filter(({ index }) => index[1] === ana_lid).map(({ index, value }) => [index[0], JSON.parse(JSON.stringify(value, (name, each) => range[name] ?? each))])
  assert.deepEqual(states, [
    ['archive', { archiveChatAction: { archived: true, messageRange: range } }],
    ['archive', { archiveChatAction: { archived: false, messageRange: range } }],
    ['pin_v1', { pinAction: { pinned: true } }],
    ['pin_v1', { pinAction: { pinned: false } }],
    ['mute', { muteAction: { muted: false } }],
    ['markChatAsRead', { markChatAsReadAction: { read: false, messageRange: range } }],
    ['markChatAsRead', { markChatAsReadAction: { read: true, messageRange: range } }],
    ['mute', { muteAction: { muted: true, muteEndTimestamp: '1900000000000' } }]
  ])
  await learned('chat', ana, { muted_until: 1_900_000_000_000 })
})

const expectAny = () => 'any'

test('what is changed on the phone is learned', async () => {
  await whatsapp.post('/app-state', { phone: PHONE, collection: 'regular_high', index: ['mute', bia], value: { muteAction: { muted: true, muteEndTimestamp: 1_800_000_000_000 } } })
  await learned('chat', bia, { muted_until: 1_800_000_000_000 })
  await whatsapp.post('/app-state', { phone: PHONE, collection: 'critical_unblock_low', index: ['contact', bia], value: { contactAction: { fullName: 'Bia Souza', lidJid: bia_lid } } })
  await learned('contact', bia, { name: 'Bia Souza', lid: bia_lid })
  await whatsapp.post('/app-state', { phone: PHONE, collection: 'regular', index: ['label_edit', '7'], value: { labelEditAction: { name: 'Pago', color: 3, deleted: false } } })
  await learned('label', '7', { name: 'Pago', color: 3 })
})

test('labels', async () => {
  await perform('labels.save', { label_id: '8', name: 'Novo', color: 1 })
  await sees('app_state', { index: ['label_edit', '8'], value: { labelEditAction: { name: 'Novo', color: 1, deleted: false } } })
  await perform('labels.assign', { label_id: '8', chat: ana, assigned: true })
  await sees('app_state', { index: ['label_jid', '8', ana_lid], value: { labelAssociationAction: { labeled: true } } })
  await learned('chat', ana, { labels: { 8: true } })
  await perform('labels.remove', { label_id: '8', name: 'Novo', color: 1 })
  await sees('app_state', { index: ['label_edit', '8'], value: { labelEditAction: { name: 'Novo', color: 1, deleted: true } } })
})

test('channels', async () => {
  const made = await perform('channels.create', { name: 'Ofertas', description: 'Toda semana' })
  assert.deepEqual([made.name, made.role, made.followers], ['Ofertas', 'owner', 1])
  await perform('channels.update', { channel: made.channel_id, name: 'Ofertas da loja' })
  const { channel_id: _, ...found } = await perform('channels.get', { invite: made.invite_code })
  assert.deepEqual([found.name, found.description, found.role], ['Ofertas da loja', 'Toda semana', 'owner'])
  for (const action of ['follow', 'mute', 'unmute', 'unfollow']) await perform('channels.follow', { channel: made.channel_id, action })
  await perform('channels.delete', { channel: made.channel_id })
  await fails('channels.get', { channel: made.channel_id }, { code: 'whatsapp_refused', whatsappCode: 404 })
})

test('a query that WhatsApp limits is refused with its code, and bad bodies never reach it', async () => {
  await whatsapp.post('/failures', { kind: 'refuse_query', phone: PHONE })
  await fails('blocklist.get', {}, { code: 'whatsapp_refused', whatsappCode: 429 })
  await fails('groups.get', { group: ana }, { code: 'invalid_request', message: 'group must be the JID of a group (@g.us).' })
  await fails('groups.get', { group: '12036300000999999@g.us', more: 1 }, { code: 'invalid_request', message: 'more is not a field of this operation.' })
  await fails('constructor', {}, { code: 'not_found' })
})

test('an operation whose connection ends before the answer says that nothing is known', async () => {
  await whatsapp.post('/failures', { kind: 'ignore_query', phone: PHONE })
  const asking = perform('blocklist.get', {})
  const failing = assert.rejects(asking, { code: 'whatsapp_no_answer' })
  await until('WhatsApp ignored it', async () => (await whatsapp.get('/failures')).failures.length === 0)
  await whatsapp.post('/kick', { kind: 'tcp_drop', phone: PHONE })
  await failing
  await fails('blocklist.get', {}, { code: 'session_not_open' })
})
