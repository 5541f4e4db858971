import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { afterEach, beforeEach, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { FakeOrchestrator } from './support/orchestrator.js'
import { Sidecar } from './support/sidecar.js'
import { PATIENCE, until } from './support/until.js'
import { startWhatsApp } from './support/whatsapp.js'

/** The whole sidecar process against the fake WhatsApp and the fake orchestrator. */

const PHONE = '5511999990000'
const REF = 17

let orchestrator, whatsapp, sidecar

beforeEach(async () => {
  orchestrator = await new FakeOrchestrator().listen()
  whatsapp = await startWhatsApp()
})

afterEach(async () => {
  if (sidecar) await sidecar.stop('SIGKILL')
  sidecar = null
  await whatsapp.close()
  await orchestrator.close()
})

async function startSidecar(env) {
  sidecar = await Sidecar.start({ orchestrator, whatsapp, env })
}

async function pair() {
  await sidecar.startSession(REF)
  const { qr } = await sidecar.inState(REF, 'pairing')
  await whatsapp.post('/scan', { qr: qr.qr, phone: PHONE })
  return await sidecar.inState(REF, 'open')
}

const received = text => until(`the message ${text} is reported`, () =>
  orchestrator.eventsOf('message.received').find(message => message.text === text))


async function pairWithContact() {
  await pair()
  return await whatsapp.post('/contacts', { name: 'Ana' })
}

const told = state => until(`the state ${state} is told`, () => orchestrator.eventsOf('connection.state').find(event => event.state === state))
const counts = () => whatsapp.get('/counts')
const delivered = text => until(`the contact reads ${text}`, async () => {
  const { messages } = await whatsapp.get(`/messages?direction=out`)
  return messages.find(message => message.text === text && message.status === 'decrypted')
})

test('a session is paired by QR and messages go both ways', async () => {
  await startSidecar()
  await until('it says hello', () => orchestrator.hellos.length === 1)
  const { jid } = await pair()
  assert.match(jid, new RegExp(`^${PHONE}:\\d+@s.whatsapp.net$`))
  assert.equal(orchestrator.session(REF).account.jid, jid)
  assert.ok(orchestrator.eventsOf('pairing.qr')[0].expires_at > Date.now())
  const contact = await whatsapp.post('/contacts', { name: 'Ana' })
  await whatsapp.post('/send', { from: contact.phone, to: PHONE, text: 'Olá' })
  const message = await received('Olá')
  assert.deepEqual([message.chat, message.sender, message.push_name, message.from_me, message.type],
    [contact.jid, contact.jid, 'Ana', false, 'text'])
  const sent = await sidecar.send(REF, contact.jid, 'Bom dia')
  assert.equal(sent.status, 200)
  await delivered('Bom dia')
  assert.ok(orchestrator.session(REF).sentMessages.has(sent.body.message_id))
  await until('the receipts are reported', () => ['sent', 'delivered'].every(status => orchestrator.eventsOf('message.receipt')
    .some(receipt => receipt.message_id === sent.body.message_id && receipt.chat === contact.jid && receipt.status === status)))
})

test('nothing is written before the account is confirmed, and then the creds come first', async () => {
  await startSidecar()
  await sidecar.startSession(REF)
  const { qr } = await sidecar.inState(REF, 'pairing')
  assert.equal(orchestrator.callsTo('/write').length, 0)
  await whatsapp.post('/scan', { qr: qr.qr, phone: PHONE })
  await sidecar.inState(REF, 'open')
  const [first] = orchestrator.callsTo('/write')
  assert.ok(first.body.creds)
  assert.ok(JSON.parse(first.body.creds).account)
})

test('a restored session opens without a QR and goes on talking', async () => {
  await startSidecar()
  const contact = await pairWithContact()
  await sidecar.send(REF, contact.jid, 'before')
  await delivered('before')
  assert.deepEqual(await sidecar.stop('SIGKILL'), { code: null, signal: 'SIGKILL' })
  await whatsapp.post('/send', { from: contact.phone, to: PHONE, text: 'while it was away' })
  await startSidecar()
  await sidecar.startSession(REF)
  await sidecar.inState(REF, 'open')
  await received('while it was away')
  await sidecar.send(REF, contact.jid, 'after')
  await delivered('after')
  const { registrations, qr_shown: shown, message_number_reused: reused } = await counts()
  assert.deepEqual({ registrations, shown, reused }, { registrations: 1, shown: 1, reused: 0 })
})

const UNKNOWN = {
  'the database is unavailable': { status: 503, body: { code: 'database_unavailable' } },
  'the connection drops': 'drop',
  'the answer is nonsense': 'garbage',
  'the answer is neither found nor absent': { status: 200, body: { sessions: [{ outcome: 'perhaps' }] } },
  'the creds are half a document': { status: 200, body: { sessions: [{ outcome: 'found', creds: '{"me":{"id":"55', account: { jid: '55' } }] } },
  'the creds are those of an unpaired identity': { status: 200, body: { sessions: [{ outcome: 'found', creds: '{"noiseKey":{}}', account: { jid: '55' } }] } },
  'no answer comes': 'hang'
}
for (const [situation, answer] of Object.entries(UNKNOWN)) {
  test(`no QR is shown and nothing is registered when ${situation}`, async () => {
    orchestrator.behave = call => call === 'auth-states/load' ? answer : undefined
    await startSidecar({ BACKUP_TIMEOUT_SECONDS: '0.2', BACKUP_ATTEMPTS: '0' })
    await sidecar.startSession(REF)
    const { reason } = await sidecar.inState(REF, 'waiting_retry')
    assert.match(reason, /could not be loaded/)
    await until('it tries again', () => orchestrator.callsTo('/load').length > 1)
    const { registrations, qr_shown: shown, logins } = await counts()
    assert.deepEqual({ registrations, shown, logins }, { registrations: 0, shown: 0, logins: 0 })
    assert.equal(orchestrator.callsTo('/write').length, 0)
    orchestrator.behave = () => undefined
    await sidecar.inState(REF, 'pairing')
  })
}

test('a lost lease closes the socket and is not argued with', async () => {
  await startSidecar()
  const contact = await pairWithContact()
  orchestrator.session(REF).epoch = 2
  const answer = await sidecar.send(REF, contact.jid, 'too late')
  assert.ok([404, 409, 502].includes(answer.status))
  await sidecar.inState(REF, 'stopped')
  await until('the socket is closed', async () => {
    const { accounts } = await whatsapp.get('/accounts')
    return !accounts.find(account => account.phone === PHONE).devices[0].connected
  })
  assert.equal((await whatsapp.get('/messages?direction=out')).messages.length, 0)
})

test('a device that was removed on the phone is quarantined', async () => {
  await startSidecar()
  await pair()
  await whatsapp.post('/kick', { phone: PHONE, kind: 'device_removed' })
  await sidecar.inState(REF, 'quarantined')
  const states = await until('the state is reported', () => {
    const reported = orchestrator.eventsOf('connection.state')
    return reported.at(-1).state === 'quarantined' ? reported : null
  })
  assert.equal(states.at(-1).code, 401)
  assert.ok(orchestrator.session(REF).creds)
})

test('a login that is refused once is tried again with the same creds', async () => {
  await startSidecar()
  await pair()
  await sidecar.stop()
  await whatsapp.post('/failures', { kind: 'refuse_login', phone: PHONE, reason: 401, times: 1 })
  await startSidecar()
  await sidecar.startSession(REF)
  await sidecar.inState(REF, 'open')
  const { registrations, refused_logins: refused } = await counts()
  assert.deepEqual({ registrations, refused }, { registrations: 1, refused: 1 })
})

test('a login that is refused twice in a row is a proven logout', async () => {
  await startSidecar()
  await pair()
  await sidecar.stop()
  await whatsapp.post('/failures', { kind: 'refuse_login', phone: PHONE, reason: 403, times: 2 })
  await startSidecar()
  await sidecar.startSession(REF)
  await sidecar.inState(REF, 'quarantined')
  assert.equal((await counts()).registrations, 1)
})

test('a replaced connection is tried once more and then left alone', async () => {
  await startSidecar()
  await pair()
  await whatsapp.post('/kick', { phone: PHONE, kind: 'replaced' })
  await told('waiting_retry')
  await sidecar.inState(REF, 'open')
  await whatsapp.post('/kick', { phone: PHONE, kind: 'replaced' })
  await sidecar.inState(REF, 'conflict')
  assert.equal((await sidecar.call('DELETE', `/v1/sessions/${REF}`)).status, 200)
})

test('a lost connection comes back', async () => {
  await startSidecar()
  await pair()
  for (const kind of ['tcp_drop', 'stream_error', 'xmlstreamend']) {
    const before = (await counts()).logins
    await whatsapp.post('/kick', { phone: PHONE, kind })
    await until(`the session logs in again after ${kind}`, async () => (await counts()).logins > before)
    await sidecar.inState(REF, 'open')
  }
  assert.equal((await counts()).registrations, 1)
})

test('logout unlinks the device and quarantines the generation', async () => {
  await startSidecar()
  await pair()
  assert.equal((await sidecar.call('POST', `/v1/sessions/${REF}/logout`)).status, 200)
  assert.equal((await sidecar.session(REF)).state, 'quarantined')
  const { accounts } = await whatsapp.get('/accounts')
  assert.deepEqual(accounts.find(account => account.phone === PHONE)?.devices ?? [], [])
})

test('a session is paired by code', async () => {
  await startSidecar()
  await sidecar.startSession(REF)
  await sidecar.inState(REF, 'pairing')
  const answer = await sidecar.call('POST', `/v1/sessions/${REF}/pairing-code`, { phone: PHONE })
  assert.equal(answer.status, 200)
  assert.match(answer.body.pairing_code, /^[0-9A-Z]{4}-[0-9A-Z]{4}$/)
  assert.equal(orchestrator.callsTo('/write').length, 0)
  await whatsapp.post('/enter-code', { code: answer.body.pairing_code, phone: PHONE })
  await sidecar.inState(REF, 'open')
  assert.equal((await sidecar.call('POST', `/v1/sessions/${REF}/pairing-code`, { phone: PHONE })).body.code, 'already_paired')
})

test('SIGTERM drains and says goodbye after the sockets are closed', async () => {
  await startSidecar()
  const contact = await pairWithContact()
  orchestrator.writeDelayMs = 100
  const sending = Array.from({ length: 5 }, (_, n) => sidecar.send(REF, contact.jid, `last ${n}`))
  await until('they are under way', () => orchestrator.callsTo('/write').flatMap(call => call.body.sent_messages).length === 5)
  const startedAt = Date.now()
  const stopped = sidecar.stop('SIGTERM')
  const answers = await Promise.all(sending)
  assert.deepEqual(answers.map(answer => answer.status), [200, 200, 200, 200, 200])
  assert.deepEqual(await stopped, { code: 0, signal: null })
  assert.ok(Date.now() - startedAt < 8000 * PATIENCE)
  assert.equal(orchestrator.goodbyes.length, 1)
  assert.deepEqual(orchestrator.callsTo('/departing').map(call => call.body.closed), [[], [REF]])
  assert.equal(orchestrator.callsTo('/write').at(-1).at <= orchestrator.callsTo('/goodbye')[0].at, true)
  assert.equal(orchestrator.eventsOf('connection.state').at(-1).state, 'stopped')
})

test('a second SIGTERM changes nothing', async () => {
  await startSidecar()
  await pair()
  orchestrator.writeDelayMs = 700
  orchestrator.behave = async call => { if (call === 'sidecar/goodbye') await new Promise(resolve => setTimeout(resolve, 500)) }
  const stopped = sidecar.stop('SIGTERM')
  await until('it stops', () => sidecar.logged('sidecar_stopping'))
  sidecar.process.kill('SIGTERM')
  sidecar.process.kill('SIGINT')
  assert.deepEqual(await stopped, { code: 0, signal: null })
  assert.equal(orchestrator.goodbyes.length, 1)
})

test('a sidecar whose parent disappears drains and goes', async () => {
  const shell = spawn('sh', ['-c', `"${process.execPath}" "${fileURLToPath(new URL('../src/main.js', import.meta.url))}"; true`], {
    env: { PATH: process.env.PATH, ...Sidecar.environment({ orchestrator, whatsapp }) }
  })
  let output = ''
  shell.stdout.on('data', data => { output += data })
  await until('it listens', () => output.includes('sidecar_listening'))
  shell.kill('SIGKILL')
  await until('it says goodbye', () => orchestrator.goodbyes.length === 1)
  await until('it is gone', () => output.includes('sidecar_stopped'))
})

test('a sidecar that starts before its orchestrator waits for it', async () => {
  await orchestrator.shut()
  await startSidecar()
  assert.equal((await sidecar.call('GET', '/health')).body.sessions, 0)
  await orchestrator.open()
  await until('it says hello', () => orchestrator.hellos.length === 1)
})

test('epochs: the same one changes nothing, a lower one is refused, a higher one takes over with one socket at a time', async () => {
  await startSidecar()
  await pair()
  assert.equal((await sidecar.startSession(REF)).status, 202)
  assert.equal((await sidecar.session(REF)).state, 'open')
  orchestrator.session(REF).epoch = 5
  assert.equal((await sidecar.startSession(REF, { epoch: 5 })).status, 202)
  await until('epoch 5 is open', async () => {
    const session = await sidecar.session(REF)
    return session.epoch === 5 && session.state === 'open'
  })
  assert.equal((await sidecar.startSession(REF, { epoch: 4 })).body.code, 'stale_epoch')
  const { simultaneous_sockets: simultaneous, evictions, registrations } = await counts()
  assert.deepEqual({ simultaneous, evictions, registrations }, { simultaneous: 0, evictions: 0, registrations: 1 })
})

test('what the store lost is written again by the verification backup', async () => {
  await startSidecar({ BACKUP_INITIAL_DELAY_SECONDS: '0.5', BACKUP_INTERVAL_SECONDS: '0.5' })
  const contact = await pairWithContact()
  await sidecar.send(REF, contact.jid, 'x')
  const { keys } = orchestrator.session(REF)
  const name = [...keys.keys()].find(key => key.startsWith('["lid-mapping"'))
  const text = keys.get(name)
  keys.delete(name)
  const verified = await until('it is repaired', () => orchestrator.eventsOf('session.verified').find(({ repaired }) => repaired.keys > 0))
  assert.deepEqual(verified.repaired, { creds: false, keys: 1 })
  assert.equal(keys.get(name), text)
})

test('an undisturbed session has nothing to repair', async () => {
  await startSidecar({ BACKUP_INITIAL_DELAY_SECONDS: '0.1', BACKUP_INTERVAL_SECONDS: '0.2', LOG_LEVEL: 'debug' })
  const contact = await pairWithContact()
  await whatsapp.post('/traffic', { phone: PHONE, contacts: [contact.phone], rate_per_second: 50, count: 50 })
  for (let n = 0; n < 20; n++) await sidecar.send(REF, contact.jid, `${n}`)
  await sidecar.stop()
  await startSidecar({ BACKUP_INITIAL_DELAY_SECONDS: '0.1', BACKUP_INTERVAL_SECONDS: '0.2', LOG_LEVEL: 'debug' })
  await sidecar.startSession(REF)
  await until('it was verified', () => sidecar.output.split('auth_state_verified').length > 3)
  for (const { repaired } of orchestrator.eventsOf('session.verified')) assert.deepEqual(repaired, { creds: false, keys: 0 })
})

test('a message that could not be read is sent again, also by the next process', async () => {
  await startSidecar()
  const contact = await pairWithContact()
  await whatsapp.post('/failures', { kind: 'garble_from_companion', phone: PHONE, times: 1 })
  await sidecar.send(REF, contact.jid, 'garbled')
  await sidecar.stop('SIGKILL')
  await startSidecar()
  await sidecar.startSession(REF)
  await delivered('garbled')
})

test('messages go to a group and come from it', async () => {
  await startSidecar()
  const contact = await pairWithContact()
  const { jid } = await whatsapp.post('/groups', { subject: 'Equipe', members: [PHONE, contact.phone] })
  await whatsapp.post('/send', { from: contact.phone, group: jid, text: 'from the group' })
  assert.deepEqual(await received('from the group').then(({ chat, sender }) => ({ chat, sender })), { chat: jid, sender: contact.jid })
  for (const text of ['to the group', 'and again']) {
    assert.equal((await sidecar.send(REF, jid, text)).status, 200)
    await delivered(text)
  }
  assert.equal((await counts()).message_number_reused, 0)
})

test('a deaf socket is noticed and replaced', async () => {
  await startSidecar({ KEEP_ALIVE_SECONDS: '0.5' })
  await pair()
  const before = (await counts()).logins
  await whatsapp.post('/failures', { kind: 'silence', phone: PHONE, times: 1 })
  await until('it logs in again', async () => (await counts()).logins > before)
  await sidecar.inState(REF, 'open')
})

test('a temporary ban is waited for', async () => {
  await startSidecar()
  await pair()
  await sidecar.stop()
  await whatsapp.post('/failures', { kind: 'refuse_login', phone: PHONE, reason: 402, expire: 2, times: 1 })
  await startSidecar()
  await sidecar.startSession(REF)
  assert.match((await told('paused')).reason, /blocked the account until/)
  await sidecar.inState(REF, 'open')
})

test('while the orchestrator is away the socket stays, and the creds and events arrive when it is back', async () => {
  await startSidecar({ BACKUP_ATTEMPTS: '0' })
  const contact = await pairWithContact()
  await orchestrator.shut()
  // Without a journal its write fails; what it must read then is waited for.
  const sending = sidecar.send(REF, contact.jid, 'nobody keeps this')
  await until('it is degraded', async () => (await sidecar.session(REF)).degraded)
  assert.equal((await sidecar.session(REF)).state, 'open')
  await orchestrator.open()
  assert.ok([200, 502].includes((await sending).status))
  await whatsapp.post('/send', { from: contact.phone, to: PHONE, text: 'welcome back' })
  await received('welcome back')
  await until('it is not degraded any more', async () => !(await sidecar.session(REF)).degraded)
  const degraded = () => orchestrator.eventsOf('session.degraded').map(event => event.degraded)
  await until('that is told', () => degraded().at(-1) === false)
  assert.equal(degraded()[0], true)
  assert.equal((await counts()).logins, 1)
})

test('traffic both ways reuses no message number, also when the process is killed in the middle', async () => {
  await startSidecar()
  const contact = await pairWithContact()
  for (let round = 0; round < 3; round++) {
    await whatsapp.post('/traffic', { phone: PHONE, contacts: [contact.phone], rate_per_second: 60, count: 60 })
    const sending = Array.from({ length: 40 }, (_, n) => sidecar.send(REF, contact.jid, `round ${round} message ${n}`).catch(() => null))
    await until('half of it is through', async () => (await sending[20])?.status === 200)
    await sidecar.stop('SIGKILL')
    await Promise.all(sending)
    await startSidecar()
    await sidecar.startSession(REF)
    await sidecar.inState(REF, 'open')
  }
  assert.equal((await whatsapp.get(`/idle?timeout_ms=${15_000 * PATIENCE}`)).idle, true)
  const { message_number_reused: reused, registrations, prekey_reused: prekeys, in: { nacked } } = await counts()
  assert.deepEqual({ reused, registrations, prekeys, nacked }, { reused: 0, registrations: 1, prekeys: 0, nacked: 0 })
})

test('no private key reaches the output, even when libsignal prints whole sessions', async () => {
  await startSidecar({ LOG_LEVEL: 'trace' })
  const contact = await pairWithContact()
  await sidecar.send(REF, contact.jid, 'one')
  await delivered('one')
  // A restart makes the next send open a new Signal session, which closes the old one: libsignal prints it.
  const secrets = new Set(orchestrator.privateKeys())
  await sidecar.stop()
  const firstOutput = sidecar.output
  await startSidecar({ LOG_LEVEL: 'trace' })
  await sidecar.startSession(REF)
  await sidecar.inState(REF, 'open')
  await sidecar.send(REF, contact.jid, 'two')
  await delivered('two')
  for (const secret of orchestrator.privateKeys()) secrets.add(secret)
  const output = firstOutput + sidecar.output
  assert.ok(secrets.size > 800)
  for (const secret of secrets) {
    assert.ok(!output.includes(secret), 'a private key in base64')
    assert.ok(!output.includes(Buffer.from(secret, 'base64').toString('hex')), 'a private key in hex')
  }
  for (const trace of ['privKey', 'Closing session', 'SessionEntry', PHONE, contact.phone]) assert.ok(!output.includes(trace), trace)
})
