import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Client, get, linked, post, until } from './client.js'
import { startFakeWhatsApp } from './server.js'

/** @type {import('./server.js').FakeWhatsApp} */
let server
before(async () => (server = await startFakeWhatsApp()))
after(() => server.close())

/** @param {string} phone */
async function registering(phone) {
  const client = new Client(server)
  const qr = await until(() => client.qr, 'qr')
  return { client, qr, phone }
}

test('a scanned QR links the companion, which logs in after a 515 and gets the history of the phone', async () => {
  const { client, qr, phone } = await registering('5511900000001')
  const answer = await post(server, '/scan', { qr, phone })
  assert.equal(answer.jid, '5511900000001:1@s.whatsapp.net')
  assert.match(answer.lid, /^\d+:1@lid$/)
  assert.equal(await client.closed(), 515)
  const again = new Client(server, client.auth)
  await again.opened()
  await until(() => again.isSynced, 'accountSyncCounter')
  assert.equal(again.qr, undefined)
  assert.equal(again.socket.user?.id, answer.jid)
  await again.end()
})

test('a linked companion logs in again with what it stored, without a QR', async () => {
  const first = await linked(server, '5511900000002')
  await first.end()
  const second = new Client(server, first.auth)
  await second.opened()
  assert.equal(second.qr, undefined)
  const { accounts } = await get(server, '/accounts')
  const [device] = accounts.find((/** @type {any} */ each) => each.phone === '5511900000002').devices
  assert.deepEqual([device.logins, device.connected], [2, true])
  await second.end()
})

test('a code typed on the phone links the companion', async () => {
  const { client, phone } = await registering('5511900000003')
  const code = await client.socket.requestPairingCode(phone)
  const answer = await post(server, '/enter-code', { code: `${code.slice(0, 4)}-${code.slice(4)}`, phone })
  assert.equal(answer.jid, '5511900000003:1@s.whatsapp.net')
  assert.equal(await client.closed(), 515)
  const again = new Client(server, client.auth)
  await again.opened()
  await again.end()
})

test('a wrong code does not link', async () => {
  const { client, phone } = await registering('5511900000004')
  await client.socket.requestPairingCode(phone)
  await assert.rejects(post(server, '/enter-code', { code: 'WRONGONE', phone }), { code: 'wrong_code', status: 409 })
  await client.end()
})

test('a code attempt whose notification lacks the wrapped key ends in nothing', async () => {
  const { client, phone } = await registering('5511900000005')
  await post(server, '/failures', { phone, kind: 'code_without_key' })
  /** @type {any[]} */
  const seen = []
  client.socket.ws.on('CB:notification,type:link_code_companion_reg', node => seen.push(node))
  const code = await client.socket.requestPairingCode(phone)
  const refused = assert.rejects(post(server, '/enter-code', { code, phone }), { code: 'code_unanswered' })
  await until(() => seen.length, 'notification')
  await client.end()
  await refused
})

test('a QR that no open socket shows is stale', async () => {
  const { client, qr, phone } = await registering('5511900000006')
  await client.end()
  await until(() => server.world.refs.size === 0, 'refs gone')
  await assert.rejects(post(server, '/scan', { qr, phone }), { code: 'stale_ref', status: 410 })
})

test('a pair-success under another ADV secret is refused by the companion', async () => {
  const { client, qr, phone } = await registering('5511900000007')
  await post(server, '/failures', { phone, kind: 'pair_bad_secret' })
  await assert.rejects(post(server, '/scan', { qr, phone }), { code: 'pairing_failed' })
  await client.closed().catch(() => {})
  assert.equal(JSON.parse(client.auth.creds).me, undefined)
})

test('after companion_reg_refresh the phone rejects the QR with the old secret', async () => {
  const { client, qr, phone } = await registering('5511900000008')
  /** @type {any[]} */
  const seen = []
  client.socket.ws.on('CB:notification', node => seen.push(node))
  // Baileys alone acknowledges nothing before there is an account.
  await assert.rejects(post(server, '/refresh-qr', { qr }), { code: 'not_acknowledged' })
  await assert.rejects(post(server, '/scan', { qr, phone }), { code: 'revoked_secret' })
  await until(() => seen.some(node => node.attrs.type === 'companion_reg_refresh'), 'notification')
  await client.end()
})

test('an account that asks for a passkey says so, then nothing more', async () => {
  const { client, qr, phone } = await registering('5511900000009')
  /** @type {any[]} */
  const seen = []
  client.socket.ws.on('CB:notification,type:passkey_prologue_request', node => seen.push(node))
  await post(server, '/failures', { phone, kind: 'passkey' })
  await assert.rejects(post(server, '/scan', { qr, phone }), { code: 'not_acknowledged' })
  await until(() => seen.length, 'passkey_prologue_request')
  await client.end()
})

test('a socket that does not log in is closed', async () => {
  const impatient = await startFakeWhatsApp({ registrationTimeoutMs: 200 })
  assert.equal(await new Client(impatient).closed(), 428)
  await impatient.close()
})

test('a logout unlinks the device: its next login is refused with 401', async () => {
  const client = await linked(server, '5511900000011')
  await client.socket.logout()
  assert.equal(await client.closed(), 401)
  const { accounts } = await get(server, '/accounts')
  const account = accounts.find((/** @type {any} */ each) => each.phone === '5511900000011')
  assert.deepEqual(account.devices, [])
  const again = new Client(server, client.auth)
  assert.equal(await again.closed(), 401)
})
