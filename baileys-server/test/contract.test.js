import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { initAuthCreds, proto } from '@whiskeysockets/baileys'
import { createControlApi } from '../src/control-api.js'
import { DEFAULT_SETTINGS } from '../src/connections/session-settings.js'
import { ControlError } from '../src/connections/control-error.js'
import { AuthState } from '../src/auth-state/auth-state.js'
import { decode, encode } from '../src/auth-state/codec.js'
import { OrchestratorClient } from '../src/orchestrator/client.js'
import { CredsLoader } from '../src/orchestrator/creds-loader.js'
import { DirectoryOutbox } from '../src/orchestrator/directory-outbox.js'
import { EventOutbox } from '../src/orchestrator/event-outbox.js'
import { SessionBackup } from '../src/orchestrator/session-backup.js'
import { decodeOutcomes, encodeFrame } from '../src/orchestrator/write-frame.js'
import { errorFromAnswer } from '../src/orchestrator/errors.js'
import { FakeClock, settled } from './support/clock.js'
import { TOKEN } from './support/orchestrator.js'
import { Redaction } from '../src/redaction.js'
import { Polls } from '../src/messages/polls.js'

/** The golden examples of tests/contract: this side sends exactly these requests and understands these answers. */

const FOLDER = new URL('../../tests/contract/', import.meta.url)
const examples = Object.fromEntries(readdirSync(FOLDER).filter(name => name.endsWith('.json'))
  .map(name => [name.replace('.json', ''), JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8'))]))
const used = new Set()

function example(name) {
  used.add(name)
  return examples[name]
}

/** Answers with the example's response and keeps what was asked. */
async function orchestratorOf({ response: { status, body } }) {
  const folder = mkdtempSync(join(tmpdir(), 'contract-'))
  const socketPath = join(folder, 'socket')
  const asked = []
  const server = http.createServer(async (request, response) => {
    const chunks = []
    for await (const chunk of request) chunks.push(chunk)
    asked.push({ call: `${request.method} ${request.url}`, request: JSON.parse(Buffer.concat(chunks).toString()) })
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  await new Promise(resolve => server.listen(socketPath, resolve))
  const client = new OrchestratorClient({ socketPath, token: TOKEN, timeoutMs: 10_000, retries: 0, clock: new FakeClock(), log: {} })
  const close = () => { client.close(); server.close(); rmSync(folder, { recursive: true, force: true }) }
  return { client, asked, close }
}

/** Runs one backup call against its example; the outcome is its value, or the code of its error. */
async function outcomeOf(name, call) {
  const { call: expectedCall, request, response } = example(name)
  const orchestrator = await orchestratorOf({ response })
  try {
    const session = { sessionRef: 17, generation: request.generation ?? 3, epoch: request.epoch ?? 12 }
    const value = await call(new SessionBackup(orchestrator.client, session), orchestrator.client).catch(error => error.code)
    assert.deepEqual(orchestrator.asked, [{ call: expectedCall, request }])
    return value
  } finally {
    orchestrator.close()
  }
}

const requestOf = name => examples[name].request

/** What each session of the example gets, or the code of its error. */
async function loadOf(name) {
  let outcomes
  await outcomeOf(name, async (_backup, client) => {
    const loader = new CredsLoader(client)
    const asked = requestOf(name).sessions.map(([sessionRef, generation, epoch]) => loader.load({ sessionRef, generation, epoch }))
    outcomes = await Promise.all(asked.map(loaded => loaded.catch(error => error.code)))
  })
  return outcomes
}

test('load: found, absent, and everything that is neither', async () => {
  const [found] = await loadOf('auth-states-load-found')
  assert.equal(decode(found.creds).me.name, 'Loja')
  assert.deepEqual(found.account, { jid: '5511999990000:7@s.whatsapp.net', lid: '100000000000001:7@lid' })
  assert.deepEqual(await loadOf('auth-states-load-absent'), [{ outcome: 'absent' }])
  assert.deepEqual(await loadOf('auth-states-load-unknown'), ['database_unavailable'])
  assert.deepEqual(await loadOf('auth-states-load-corrupt'), ['auth_state_corrupt'])
  assert.deepEqual(await loadOf('auth-states-load-lease-lost'), ['lease_lost', 'lease_lost'])
})

test('prefetch: the keys, all or some', async () => {
  const prefetch = backup => backup.prefetch()
  const { keys, complete } = await outcomeOf('auth-state-prefetch', prefetch)
  assert.ok(complete && keys.length > 1)
  assert.equal((await outcomeOf('auth-state-prefetch-partly', prefetch)).complete, false)
  assert.equal(await outcomeOf('auth-state-prefetch-unknown', prefetch), 'database_unavailable')
  assert.equal(await outcomeOf('auth-state-prefetch-lease-lost', prefetch), 'lease_lost')
})

test('read: a missing id is absent', async () => {
  const values = await outcomeOf('auth-state-read', backup => backup.read('pre-key', ['1', '2', '900']))
  assert.deepEqual([...values.keys()], ['1', '2'])
  assert.equal(await outcomeOf('auth-state-read-unknown', backup => backup.read('session', ['100000000000002_1.0'])), 'database_unavailable')
})

/** A write of a frame, as the example shows it. */
function writeOfExample([sessionRef, generation, epoch, creds, account, set, deleted, sentMessages, incomingMessages]) {
  const write = {
    creds, account: account && { jid: account[0], lid: account[1] }, set, delete: deleted,
    sent_messages: sentMessages.map(([id, base64]) => [id, Buffer.from(base64, 'base64')]), incoming_messages: incomingMessages
  }
  return { lease: { sessionRef, generation, epoch }, write }
}

test('frames of writes: the same bytes, and an outcome for each write', () => {
  for (const name of ['one-key', 'many', 'lease-lost', 'unavailable']) {
    const { writes, frame_hex: frameHex, answer, answer_hex: answerHex } = example(`auth-states-writes-${name}`)
    assert.equal(Buffer.from(encodeFrame(writes.map(writeOfExample))).toString('hex'), frameHex, name)
    const outcomes = decodeOutcomes(Buffer.from(answerHex, 'hex'), writes.length)
    assert.deepEqual(outcomes.map(error => error?.code ?? null), answer.map(outcome => outcome?.[0] ?? null), name)
  }
})

test('a frame that is refused as a whole: final or to be repeated', () => {
  const refusal = name => errorFromAnswer(example(name).response.status, examples[name].response.body)
  assert.deepEqual([refusal('auth-states-writes-invalid').final, refusal('auth-states-writes-overloaded').final], [true, false])
})

test('the JSON form of a write is for people: the sidecar only writes frames', () => {
  for (const name of Object.keys(examples).filter(one => one.startsWith('auth-state-write-'))) used.add(name)
})

test('journal: an epoch, worthless, or busy', async () => {
  const recover = backup => backup.recoverJournal()
  assert.equal(await outcomeOf('journal-recover', recover), 13)
  assert.equal(await outcomeOf('journal-recover-superseded', recover), null)
  assert.equal(await outcomeOf('journal-recover-busy', recover), 'lease_busy')
})

test('write: the auth state itself makes exactly the example', async () => {
  const { request } = example('auth-state-write-keys')
  let body
  const store = { write: async ({ take }) => { await settled(); body = take() }, read: async () => new Map(request.delete.map(([, id]) => [id, '"x"'])) }
  const { creds, account } = requestOf('auth-state-write-creds')
  const { me, account: signed } = decode(creds)
  const authState = AuthState.restored({ creds: encode({ ...initAuthCreds(), me, account: signed }), account },
    { store, journal: null, writeRetries: 0, clock: new FakeClock(), onClosed: () => {}, onDegraded: () => {}, onLost: () => {}, messageIn: () => null, polls: new Polls() })
  const data = {}
  for (const [type, id, text] of request.set) (data[type] ??= {})[id] = decode(text)
  for (const [type, id] of request.delete) (data[type] ??= {})[id] = null
  await authState.forBaileys.keys.set(data)
  const { incoming_messages: incoming, ...written } = body
  assert.deepEqual(incoming, [])
  assert.deepEqual({ generation: 3, epoch: 12, ...written, set: body.set.toSorted(), delete: body.delete.toSorted() },
    { ...request, set: request.set.toSorted(), delete: request.delete.toSorted() })
})

test('verify: what differs', async () => {
  const verify = name => backup => backup.verify({ creds: requestOf(name).creds, keys: requestOf(name).keys })
  assert.deepEqual(await outcomeOf('auth-state-verify-same', verify('auth-state-verify-same')), { creds: false, keys: [] })
  const differs = await outcomeOf('auth-state-verify-differs', verify('auth-state-verify-differs'))
  assert.deepEqual(differs, { creds: true, keys: [['session', '100000000000002_1.0']] })
})

test('sent messages and the lease', async () => {
  const message = await outcomeOf('sent-messages-read-found', backup => backup.readSentMessage('3EB0C431C26A1916E07E9A'))
  assert.equal(message.toString('base64'), 'CgVoZWxsbw==')
  assert.equal(await outcomeOf('sent-messages-read-absent', backup => backup.readSentMessage('3EB0000000000000000000')), null)
  assert.equal(await outcomeOf('lease-check-held', backup => backup.isLeaseHeld()), true)
  assert.equal(await outcomeOf('lease-check-lost', backup => backup.isLeaseHeld()), false)
})

test('hello, goodbye and events', async () => {
  for (const name of ['sidecar-hello', 'sidecar-departing', 'sidecar-goodbye']) {
    const { call, request } = examples[name]
    assert.deepEqual(await outcomeOf(name, (_backup, client) => client.call(call.replace('POST ', ''), request)), {})
  }
  const { request } = examples.events
  await outcomeOf('events', async (_backup, client) => {
    const outbox = new EventOutbox({ client, instance: request.instance, clock: { ...new FakeClock(), now: () => request.events[0].at }, log: {} })
    for (const { at: _at, ...event } of request.events) outbox.add(event)
    await outbox.close(5000)
  })
})

test('what was learned of contacts, chats and labels', async () => {
  const { request } = examples.directory
  await outcomeOf('directory', async (_backup, client) => {
    const outbox = new DirectoryOutbox({ client, clock: new FakeClock(), log: {} })
    for (const [sessionRef, generation, kind, id, fields] of request.changes) outbox.add({ sessionRef, generation }, kind, id, fields)
    await outbox.close(5000)
  })
})

test('the control API takes the control calls and answers with the same shape', async () => {
  const controls = Object.entries(examples).filter(([name]) => name.startsWith('control-'))
  assert.ok(controls.length > 10)
  for (const [name, { call, request, response }] of controls) {
    used.add(name)
    const answer = await controlAnswer(name, call, request, response)
    assert.equal(answer.status, response.status, name)
    assert.deepEqual(Object.keys(answer.body), Object.keys(response.body), name)
    if (response.status >= 400) assert.deepEqual({ ...answer.body, detail: '' }, { ...response.body, detail: '' }, name)
    else assert.deepEqual(answer.body, response.body, name)
  }
})

test('lines of the log hide what those of the orchestrator hide', () => {
  const { hidden, kept, fields } = example('redaction')
  const redaction = new Redaction()
  for (const { text, shown } of hidden) assert.equal(redaction.text(text), shown)
  for (const text of kept) assert.equal(redaction.text(text), text)
  assert.deepEqual(redaction.value(fields.given), fields.shown)
})

test('every example was used', () => {
  assert.deepEqual(Object.keys(examples).filter(name => !used.has(name)), [])
})

/** A message as the control API took it, in the form in which it came. */
function asRequested(message) {
  const referred = ({ message: content, ...reference }) => Object.fromEntries(Object.entries({
    ...reference, message: content && Buffer.from(proto.Message.encode(content).finish()).toString('base64')
  }).filter(([, value]) => value !== null))
  const { target, quoted } = message
  return { ...message, ...(target ? { target: referred(target) } : {}), ...(quoted ? { quoted: referred(quoted) } : {}) }
}

async function controlAnswer(name, call, request, { status, body }) {
  const outcome = value => {
    if (status >= 400) throw new ControlError(body.code, body.detail, { whatsappCode: body.whatsapp_code })
    return value
  }
  const connection = {
    send: async message => { assert.deepEqual(asRequested(message), request); return outcome(body) },
    sendOnce: async message => { assert.deepEqual(asRequested(message), request); return outcome(body) },
    logout: async () => outcome(),
    perform: async () => outcome(body),
    applySettings: async settings => { assert.deepEqual(settings, request.settings); return outcome(body.renewed) },
    requestPairingCode: async phone => { assert.equal(phone, request.phone); return outcome(body) }
  }
  const find = () => name === 'control-session-not-running' || name === 'control-shutting-down' ? outcome() : connection
  const registry = {
    size: body.sessions, describe: () => body.sessions, stop: async () => {}, get: find, getForSend: find,
    start: session => { assert.deepEqual(session, { sessionRef: 17, sessionId: request.session_id, generation: request.generation, epoch: request.epoch, settings: { ...DEFAULT_SETTINGS, ...request.settings } }); outcome() }
  }
  const journal = { draining: name === 'control-draining', undrained: name === 'control-session-stop-undrained' ? [17] : body.undrained ?? [], hold: () => {}, ...body.journal }
  const api = createControlApi({ registry, journal, heap: () => body.heap, processFigures: () => body.process, lastWords: body.last_words, instance: body.instance, token: TOKEN, log: { error: () => {} } })
  await new Promise(resolve => api.listen(0, '127.0.0.1', resolve))
  const [method, path] = call.split(' ')
  const answer = await fetch(`http://127.0.0.1:${api.address().port}${path}`, {
    method, body: request === null ? undefined : JSON.stringify(request),
    headers: { authorization: status === 401 ? 'Bearer no' : `Bearer ${TOKEN}` }
  })
  const result = { status: answer.status, body: await answer.json() }
  api.closeAllConnections()
  api.close()
  return result
}
