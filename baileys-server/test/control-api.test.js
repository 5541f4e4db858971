import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import net from 'node:net'
import { createControlApi } from '../src/control-api.js'
import { processFigures } from '../src/process-figures.js'
import { Registry } from '../src/connections/registry.js'
import { TOKEN } from './support/orchestrator.js'

/** Bad input is answered with a problem document, never with a 500. */

/** aiohttp's own default for clients. */
const ORCHESTRATOR_KEEPS_SECONDS = 15

let api, url, errors
const holds = []

before(async () => {
  errors = []
  const registry = new Registry(() => { throw new Error('nothing may start here') })
  api = createControlApi({ registry, journal: { draining: false, undrained: [], bytes: 0, limit: 0, hold: held => { holds.push(held) } }, heap: () => ({ used: 1, limit: 2 }), processFigures: processFigures(), lastWords: null, instance: 'i', token: TOKEN, log: { error: fields => errors.push(fields) } })
  await new Promise(resolve => api.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${api.address().port}`
})

after(() => {
  api.closeAllConnections()
  api.close()
})

async function call(method, path, body, { token = TOKEN, headers = {} } = {}) {
  const answer = await fetch(url + path, { method, body, headers: { authorization: `Bearer ${token}`, ...headers } })
  assert.equal(answer.headers.get('content-type'), answer.ok ? 'application/json' : 'application/problem+json')
  return { status: answer.status, ...(await answer.json()) }
}

test('the orchestrator says whether the journal may be written while it asks what runs', async () => {
  for (const query of ['', '?journal=held', '?journal=open', '?journal=']) assert.equal((await call('GET', `/v1/sessions${query}`)).status, 200)
  assert.deepEqual(holds, [false, true, false, false])
})

test('a connection is kept for longer than the orchestrator uses it again: a send on one that is being closed may have happened', async () => {
  const socket = net.connect(Number(new URL(url).port), '127.0.0.1')
  socket.end(`GET /v1/sessions HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`)
  const [answer] = await once(socket, 'data')
  socket.destroy()
  const [, seconds] = /\r\nKeep-Alive: timeout=(\d+)/i.exec(String(answer)) ?? []
  assert.ok(Number(seconds) > ORCHESTRATOR_KEEPS_SECONDS, `kept for ${seconds} s`)
})

const valid = { session_id: 'a', generation: 1, epoch: 1 }
const BAD_SESSIONS = [
  { ...valid, session_id: '' }, { ...valid, session_id: 7 }, { ...valid, session_id: 'x'.repeat(201) }, { ...valid, generation: 0 },
  { ...valid, generation: '1' }, { ...valid, epoch: -1 }, { ...valid, epoch: 1.5 }, { ...valid, epoch: 2 ** 53 }, {}, [], null, 'text', 7
]
for (const body of BAD_SESSIONS) {
  test(`PUT with ${JSON.stringify(body).slice(0, 60)} is invalid`, async () => {
    const answer = await call('PUT', '/v1/sessions/17', JSON.stringify(body))
    assert.deepEqual([answer.status, answer.code], [422, 'invalid_request'])
  })
}

const BAD_MESSAGES = [
  { to: '5511', type: 'text', text: 'x' }, { to: '551199999@evil.example', type: 'text', text: 'x' }, { to: '551199999@s.whatsapp.net', type: 'text' },
  { to: '551199999@s.whatsapp.net', type: 'text', text: '' }, { to: '551199999@s.whatsapp.net', type: 'image', text: 'x' },
  { to: '551199999:3@s.whatsapp.net', type: 'text', text: 'x' }, { to: '551199999@s.whatsapp.net', type: 'text', text: 'x'.repeat(65_537) }, [],
  { to: '551199999@s.whatsapp.net', type: 'text', text: 'x', again: true },
  { to: '551199999@s.whatsapp.net', type: 'text', text: 'x', message_id: '3EB0C431C26A1916E07E9A', again: 1 }
]
for (const body of BAD_MESSAGES) {
  test(`a message ${JSON.stringify(body).slice(0, 70)} is invalid`, async () => {
    assert.equal((await call('POST', '/v1/sessions/17/messages', JSON.stringify(body))).code, 'invalid_request')
  })
}

for (const phone of ['', '+5511999990000', '0511999990000', '55 11', '1'.repeat(16), 5511999990000, null]) {
  test(`the phone ${JSON.stringify(phone)} is invalid`, async () => {
    assert.equal((await call('POST', '/v1/sessions/17/pairing-code', JSON.stringify({ phone }))).code, 'invalid_request')
  })
}

const REQUESTS = [
  ['PUT', '/v1/sessions/17', '{"session_id": ', 400, 'malformed_json'],
  ['PUT', '/v1/sessions/17', '\xff\xfe', 400, 'malformed_json'],
  ['PUT', '/v1/sessions/0', JSON.stringify(valid), 422, 'invalid_request'],
  ['PUT', '/v1/sessions/9999999999999999', JSON.stringify(valid), 422, 'invalid_request'],
  ['PUT', '/v1/sessions/seventeen', JSON.stringify(valid), 404, 'not_found'],
  ['PUT', '/v1/sessions/17', undefined, 422, 'invalid_request'],
  ['POST', '/v1/sessions/17', '{}', 405, 'method_not_allowed'],
  ['GET', '/', undefined, 404, 'not_found'],
  ['GET', '/v1/sessions/../health', undefined, 404, 'not_found'],
  ['POST', '/v1/sessions/17/logout', undefined, 404, 'session_not_running'],
  ['POST', '/v1/sessions/17/messages', JSON.stringify({ to: '551199999@s.whatsapp.net', type: 'text', text: 'x' }), 404, 'session_not_running'],
  ['DELETE', '/v1/sessions/17', undefined, 200, undefined]
]
for (const [method, path, body, status, code] of REQUESTS) {
  test(`${method} ${path} ${String(body).slice(0, 20)} -> ${status} ${code ?? ''}`, async () => {
    const answer = await call(method, path, body)
    assert.deepEqual([answer.status, answer.code], [status, code])
  })
}

test('a body above 1 MiB is refused, announced or not', async () => {
  assert.equal((await call('PUT', '/v1/sessions/17', 'x'.repeat(1024 * 1024 + 1))).code, 'body_too_large')
  const stream = new ReadableStream({
    start(controller) {
      for (let n = 0; n < 40; n++) controller.enqueue(new Uint8Array(32 * 1024))
      controller.close()
    }
  })
  const answer = await fetch(`${url}/v1/sessions/17`, { method: 'PUT', body: stream, duplex: 'half', headers: { authorization: `Bearer ${TOKEN}` } })
    .catch(() => null)
  if (answer) assert.equal(answer.status, 413)
})

for (const token of ['', 'no', TOKEN.slice(1), TOKEN + '0', TOKEN.toUpperCase()]) {
  test(`the token "${token.slice(0, 5)}..." (${token.length}) opens nothing, not even /health`, async () => {
    assert.equal((await call('GET', '/health', undefined, { token })).code, 'unauthorized')
  })
}

test('a client that hangs up in the middle harms nobody', async () => {
  const socket = net.connect(api.address().port, '127.0.0.1')
  await new Promise(resolve => socket.once('connect', resolve))
  socket.write(`PUT /v1/sessions/17 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Length: 100\r\n\r\n{"sess`)
  await new Promise(resolve => setImmediate(resolve))
  socket.destroy()
  assert.equal((await call('GET', '/health')).status, 200)
})
