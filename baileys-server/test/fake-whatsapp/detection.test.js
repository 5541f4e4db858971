import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Client, get, linked, post, until } from './client.js'
import { MessageNumbers } from './message-numbers.js'
import { Peer } from './peer.js'
import { startFakeWhatsApp } from './server.js'

/** What the fake is there to notice, provoked on purpose: a check that cannot fail proves nothing. */

/** @type {import('./server.js').FakeWhatsApp} */
let server
before(async () => (server = await startFakeWhatsApp()))
after(() => server.close())

async function counts() {
  return get(server, '/counts')
}

/** @param {string} phone */
async function idle(phone) {
  assert.equal((await get(server, `/idle?phone=${phone}`)).idle, true)
}

/** Device lists that survive a restart, which stops Baileys from opening new sessions then. */
function lastingDevices() {
  const devices = new Map()
  const cache = {
    get: (/** @type {string} */ key) => devices.get(key),
    set: (/** @type {string} */ key, /** @type {unknown} */ value) => devices.set(key, value),
    del: (/** @type {string} */ key) => devices.delete(key),
    flushAll: () => devices.clear(),
  }
  return { userDevicesCache: cache }
}

test('a stale sender key numbers a group message twice', async () => {
  const phone = '5511930000001'
  const client = await linked(server, phone)
  const contact = await post(server, '/contacts')
  const group = await post(server, '/groups', { subject: 'Stale', members: [phone, contact.jid] })
  await client.send(group.jid, 'before the copy')
  await idle(phone)
  const old = client.auth.copy()
  await client.send(group.jid, 'after the copy')
  await idle(phone)
  assert.equal((await counts()).message_number_reused, 0)
  await client.end()
  const restored = new Client(server, old)
  await restored.opened()
  await restored.send(group.jid, 'from the old copy')
  await until(() => server.world.violations.counts.message_number_reused, 'reuse noticed')
  const { violations } = await get(server, '/violations')
  const found = violations.find((/** @type {any} */ each) => each.kind === 'message_number_reused')
  assert.equal(found.type, 'skmsg')
  assert.notEqual(found.id, found.earlier_id)
  await restored.end()
})

test('a stale Signal session numbers a direct message twice', async () => {
  const phone = '5511930000002'
  const devices = lastingDevices()
  const client = await linked(server, phone, devices)
  const contact = await post(server, '/contacts')
  await post(server, '/send', { from: contact.jid, to: phone, text: 'hello' })
  await until(() => client.received('hello'), 'hello')
  await client.send(contact.jid, 'before the copy')
  await idle(phone)
  const old = client.auth.copy()
  await client.send(contact.jid, 'after the copy')
  await idle(phone)
  await client.end()
  await post(server, '/reset-counts')
  const restored = new Client(server, old, devices)
  await restored.opened()
  await restored.send(contact.jid, 'from the old copy')
  await until(() => server.world.violations.counts.message_number_reused, 'reuse noticed')
  await restored.end()
})

test('the same bytes again are a resend, other bytes under the same number are not', () => {
  const numbers = new MessageNumbers()
  const used = { chain: 'chain', number: 1, body: Buffer.from('same') }
  assert.equal(numbers.spend(used, 'contact', 'A'), undefined)
  assert.equal(numbers.spend(used, 'contact', 'A'), undefined)
  assert.equal(numbers.spend({ ...used, body: Buffer.from('other') }, 'contact', 'B'), 'A')
  assert.equal(numbers.spend({ ...used, body: Buffer.from('other') }, 'somebody else', 'B'), undefined)
})

test('a pre-key id that is offered again after somebody got it is noticed', async () => {
  const phone = '5511930000004'
  const registering = new Client(server)
  const qr = await until(() => registering.qr, 'qr')
  await post(server, '/scan', { qr, phone })
  await registering.closed()
  const unsynced = registering.auth.copy()
  const client = new Client(server, registering.auth)
  await client.opened()
  const contact = await post(server, '/contacts')
  await post(server, '/send', { from: contact.jid, to: phone, text: 'takes a pre-key' })
  await until(() => client.received('takes a pre-key'), 'takes a pre-key')
  await client.end()
  await post(server, '/reset-counts')
  const restored = new Client(server, unsynced)
  await restored.opened()
  await post(server, '/prekeys-low', { phone, count: 0 })
  await until(() => server.world.violations.counts.prekey_reused, 'reuse noticed')
  await restored.end()
})

test('a one-time pre-key of a phone that opens two sessions is noticed', async () => {
  /** @type {Array<Record<string, unknown>>} */
  const noticed = []
  const reader = new Peer('1', { onPreKeyReused: detail => noticed.push(detail) })
  const writers = ['2', '3'].map(user => new Peer(user, { onPreKeyReused: () => {} }))
  const bundle = reader.takeBundle()
  const results = []
  for (const writer of writers) {
    await writer.openSession(reader.address, bundle)
    const { type, ciphertext } = await writer.encrypt(reader.address, Buffer.from('hi'))
    results.push(await reader.decrypt(writer.address, type, ciphertext).then(String, () => 'closed'))
  }
  assert.deepEqual(results, ['hi', 'closed'])
  assert.equal(noticed.length, 1)
})

test('a phone keeps its session when a forged message fails to decrypt', async () => {
  const watch = { onPreKeyReused: () => {} }
  const [a, b] = [new Peer('1', watch), new Peer('2', watch)]
  await a.openSession(b.address, b.takeBundle())
  const first = await a.encrypt(b.address, Buffer.from('one'))
  assert.equal(String(await b.decrypt(a.address, first.type, first.ciphertext)), 'one')
  const answer = await b.encrypt(a.address, Buffer.from('two'))
  const forged = Buffer.from(answer.ciphertext)
  forged[forged.length - 1] ^= 1
  await assert.rejects(a.decrypt(b.address, 'msg', forged))
  assert.equal(String(await a.decrypt(b.address, answer.type, answer.ciphertext)), 'two')
})
