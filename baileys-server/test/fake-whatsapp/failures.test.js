import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { WebSocket } from 'ws'
import { Client, get, linked, post, until } from './client.js'
import { startFakeWhatsApp } from './server.js'

/** @type {import('./server.js').FakeWhatsApp} */
let server
before(async () => (server = await startFakeWhatsApp({ socketGraceMs: 300 })))
after(() => server.close())

describe('a refused login closes with its reason', () => {
  /** @type {Client} */
  let stored
  const phone = '5511920000001'
  before(async () => {
    stored = await linked(server, phone)
    await stored.end()
  })

  for (const reason of [401, 402, 403, 405, 406, 500, 503]) {
    test(`${reason}, once`, async () => {
      await post(server, '/failures', { phone, kind: 'refuse_login', reason, expire: reason === 402 ? 3600 : undefined })
      const refused = new Client(server, stored.auth)
      assert.equal(await refused.closed(), reason)
      const { error } = refused.updates.find(update => update.connection === 'close').lastDisconnect
      assert.equal(error.data.expire, reason === 402 ? '3600' : undefined)
      const next = new Client(server, stored.auth)
      await next.opened()
      await next.end()
    })
  }

  test('twice, then no more', async () => {
    await post(server, '/failures', { phone, kind: 'refuse_login', reason: 503, times: 2 })
    for (const expected of [503, 503]) assert.equal(await new Client(server, stored.auth).closed(), expected)
    const next = new Client(server, stored.auth)
    await next.opened()
    await next.end()
  })

  test('until it is cleared', async () => {
    await post(server, '/failures', { phone, kind: 'refuse_login', reason: 500, times: null })
    for (const expected of [500, 500, 500]) assert.equal(await new Client(server, stored.auth).closed(), expected)
    await fetch(`${server.controlUrl}/failures?phone=${phone}`, { method: 'DELETE' })
    const next = new Client(server, stored.auth)
    await next.opened()
    await next.end()
  })

  test('a stream error in the place of success', async () => {
    await post(server, '/failures', { phone, kind: 'stream_error_at_login', code: 515 })
    assert.equal(await new Client(server, stored.auth).closed(), 515)
  })

  test('a connection that is cut before the handshake', async () => {
    await post(server, '/failures', { kind: 'refuse_connection' })
    assert.equal(await new Client(server, stored.auth).closed(), 428)
  })
})

describe('a live socket ends', () => {
  const cases = /** @type {const} */ ([
    [{ kind: 'stream_error', code: 500 }, 500],
    [{ kind: 'stream_error', code: 503 }, 503],
    [{ kind: 'stream_error', code: 515 }, 515],
    [{ kind: 'replaced' }, 440],
    [{ kind: 'xmlstreamend' }, 428],
    [{ kind: 'downgrade' }, 411],
    [{ kind: 'tcp_drop' }, 428],
    [{ kind: 'close' }, 428],
    [{ kind: 'device_removed' }, 401],
  ])
  /** @type {Client} */
  let stored
  const phone = '5511920000002'
  before(async () => {
    stored = await linked(server, phone)
    await stored.end()
  })

  for (const [order, expected] of cases) {
    test(`${JSON.stringify(order)} as ${expected}`, async () => {
      const client = new Client(server, stored.auth)
      await client.opened()
      await post(server, '/kick', { phone, ...order })
      assert.equal(await client.closed(), expected)
    })
  }

  test('and after device_removed the next login is refused', async () => {
    assert.equal(await new Client(server, stored.auth).closed(), 401)
  })
})

test('silence is noticed by the companion as a lost connection', async () => {
  const phone = '5511920000003'
  const client = await linked(server, phone, { keepAliveIntervalMs: 100 })
  await post(server, '/failures', { phone, kind: 'silence' })
  assert.equal(await client.closed(), 408)
})

test('a deaf connection answers queries and delivers nothing, until it recovers', async () => {
  const phone = '5511920000004'
  const client = await linked(server, phone)
  const contact = await post(server, '/contacts')
  await post(server, '/failures', { phone, kind: 'deaf' })
  const { id } = await post(server, '/send', { from: contact.jid, to: phone, text: 'unheard' })
  const [found] = (await client.socket.onWhatsApp(contact.jid)) ?? []
  assert.equal(found?.exists, true)
  const { messages } = await get(server, `/messages?phone=${phone}`)
  assert.equal(messages.find((/** @type {any} */ each) => each.id === id).status, 'queued')
  await fetch(`${server.controlUrl}/failures`, { method: 'DELETE' })
  await until(() => client.received('unheard'), 'unheard')
  await client.end()
})

test('a second login of a device evicts the first with 440', async () => {
  const first = await linked(server, '5511920000005')
  const second = new Client(server, first.auth)
  await second.opened()
  assert.equal(await first.closed(), 440)
  const { evictions, simultaneous_sockets } = await get(server, '/counts')
  assert.deepEqual([evictions, simultaneous_sockets], [1, 0])
  await second.end()
})

test('an evicted socket that stays is a violation', async () => {
  const first = await linked(server, '5511920000006')
  // A client that does not react to the stream error.
  first.socket.ws.removeAllListeners('CB:stream:error')
  const second = new Client(server, first.auth)
  await second.opened()
  assert.equal(await first.closed(), 428)
  const counts = await get(server, '/counts')
  assert.equal(counts.simultaneous_sockets, 1)
  assert.ok(counts.longest_overlap_ms >= 250)
  await second.end()
})

test('a companion that is told that its pre-keys run low uploads more', async () => {
  const phone = '5511920000007'
  const client = await linked(server, phone)
  const stock = () => server.world.registry.find(phone).companions.get(1)?.preKeys.size ?? 0
  const before = stock()
  await post(server, '/prekeys-low', { phone, count: 3 })
  await until(() => stock() > before, 'more pre-keys')
  await client.end()
})

test('what is not WhatsApp is counted as a bad frame', async () => {
  const socket = new WebSocket(server.wsUrl)
  await new Promise(resolve => socket.addEventListener('open', resolve))
  const closed = new Promise(resolve => socket.addEventListener('close', resolve))
  socket.send(Buffer.from('GET / HTTP/1.1\r\n'))
  await closed
  assert.equal((await get(server, '/counts')).handshake_frames_bad, 1)
})

test('orders that make no sense are refused with a stable code', async () => {
  await assert.rejects(post(server, '/failures', { kind: 'nonsense' }), { code: 'unknown_failure', status: 400 })
  await assert.rejects(post(server, '/kick', { phone: '5511920000007', kind: 'nonsense' }), { code: 'unknown_kick' })
  await assert.rejects(post(server, '/send', { from: '1@s.whatsapp.net', to: '2', text: 'x' }), { code: 'unknown_user' })
  await assert.rejects(post(server, '/nothing'), { code: 'unknown_route', status: 404 })
})
