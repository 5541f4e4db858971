import assert from 'node:assert/strict'
import http from 'node:http'
import { afterEach, beforeEach, test } from 'node:test'
import '../../src/silence-console.js'
import { WA_CERT_DETAILS } from '@whiskeysockets/baileys'
import { systemClock } from '../../src/clock.js'
import { Registry } from '../../src/connections/registry.js'
import { LOGIN_LIMIT_MS } from '../../src/connections/socket-attempt.js'
import { StartSlots } from '../../src/connections/start-slots.js'
import { WebVersion } from '../../src/connections/web-version.js'
import { OrchestratorClient } from '../../src/orchestrator/client.js'
import { CredsLoader } from '../../src/orchestrator/creds-loader.js'
import { SessionBackup } from '../../src/orchestrator/session-backup.js'
import { settled } from '../support/clock.js'
import { FakeOrchestrator, TOKEN } from '../support/orchestrator.js'
import { PATIENCE, until } from '../support/until.js'
import { startWhatsApp } from '../support/whatsapp.js'

/** One connection in this process, where its timing can be set. */

const nothing = () => {}
const log = { debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => log }
const session = { sessionRef: 17, sessionId: 'loja', generation: 1, epoch: 1 }

let orchestrator, whatsapp, client, registry, reports, qrMs, webSocketUrl, clock, onReport

beforeEach(async () => {
  orchestrator = await new FakeOrchestrator().listen()
  whatsapp = await startWhatsApp()
  WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(whatsapp.rootKey, 'hex')
  client = new OrchestratorClient({ socketPath: orchestrator.socketPath, token: TOKEN, timeoutMs: 1000 * PATIENCE, retries: 0, clock: systemClock, log })
  reports = []
  qrMs = undefined
  webSocketUrl = whatsapp.wsUrl
  clock = systemClock
  onReport = nothing
  const startSlots = new StartSlots(1)
  const credsLoader = new CredsLoader(client)
  const webVersion = new WebVersion({ webSocketUrl: whatsapp.wsUrl, clock: systemClock, log })
  registry = new Registry(started => ({
    credsLoader,
    backup: new SessionBackup(client, started),
    report: (type, data) => {
      onReport(type, data)
      reports.push({ type, ...data })
    },
    noteDirectory: nothing, journal: null, startSlots, webVersion, clock, random: () => 0.05, log,
    options: {
      writeRetries: 0,
      socket: { webSocketUrl, keepAliveMs: 30_000, qrMs },
      verification: { initialDelayMs: 10_000, throttleMs: 30_000, intervalMs: 300_000 }
    }
  }))
})

afterEach(async () => {
  await registry.shutDown()
  client.close()
  await whatsapp.close()
  await orchestrator.close()
})

const statesOf = sessionRef => registry.describe().find(described => described.session_ref === sessionRef)?.state

async function startPaired() {
  registry.start(session)
  const { qr } = await until('a QR', () => reports.find(({ type }) => type === 'pairing.qr'))
  await whatsapp.post('/scan', { qr, phone: '5511999990000' })
  await until('it is open', () => statesOf(17) === 'open')
}

/** A server in front of WhatsApp's place. @param {(socket: import('node:net').Socket) => void} onUpgrade */
async function inFront(t, onUpgrade) {
  const server = http.createServer()
  const sockets = new Set()
  server.on('upgrade', (_request, socket) => {
    sockets.add(socket)
    socket.on('error', nothing)
    onUpgrade(socket)
  })
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { url: `ws://127.0.0.1:${server.address().port}/ws/chat`, sockets }
}

test('a QR that nobody scans ends the pairing, and the session stays listed as stopped', async () => {
  qrMs = 100
  registry.start(session)
  await until('the pairing failed', () => reports.some(({ type }) => type === 'pairing.failed'))
  await until('it stopped', () => registry.describe()[0]?.state === 'stopped')
  const codes = reports.filter(({ type }) => type === 'pairing.qr')
  assert.equal(codes.length, 6)
  assert.equal(new Set(codes.map(({ qr }) => qr)).size, 6)
  assert.equal(reports.at(-1).state, 'stopped')
  assert.equal(reports.find(({ type }) => type === 'pairing.failed').code, 'timed_out')
  assert.equal(orchestrator.callsTo('/write').length, 0)
})

test('a failed pairing attempt leaves nothing to the next: another identity, another QR', async () => {
  registry.start(session)
  const first = await until('a QR', () => reports.find(({ type }) => type === 'pairing.qr'))
  for (const connection of whatsapp.world.connections) connection.drop()
  const states = () => reports.filter(({ type }) => type === 'connection.state').map(({ state }) => state)
  await until('it pairs again', () => states().filter(state => state === 'pairing').length === 2)
  await settled()
  const identity = ({ qr }) => qr.split(',')[2]
  assert.notEqual(identity(reports.findLast(({ type }) => type === 'pairing.qr')), identity(first))
  assert.equal(orchestrator.callsTo('/load').length, 2)
})

test('the phone is not answered before the creds are durable', async () => {
  orchestrator.behave = call => call === 'auth-state/write' ? { status: 503, body: { code: 'database_unavailable' } } : undefined
  registry.start(session)
  const { qr } = await until('a QR', () => reports.find(({ type }) => type === 'pairing.qr'))
  const scanned = whatsapp.post('/scan', { qr, phone: '5511999990000' })
  await until('the creds were tried', () => orchestrator.callsTo('/write').length > 0)
  await settled(50)
  assert.equal((await whatsapp.get('/counts')).logins, 0)
  assert.equal(reports.some(({ reason }) => reason?.startsWith('Linked')), false)
  orchestrator.behave = () => undefined
  await scanned
  await until('it is open after all', () => reports.some(({ state }) => state === 'open'))
})

test('stopping while the store hangs ends in time', async () => {
  orchestrator.behave = call => call === 'auth-states/load' ? 'hang' : undefined
  registry.start(session)
  await until('it loads', () => orchestrator.callsTo('/load').length > 0)
  const startedAt = Date.now()
  await registry.stop(17)
  assert.ok(Date.now() - startedAt < 3000 * PATIENCE)
  assert.equal(registry.size, 0)
})

for (const connection of ['close', 'keep-alive']) {
  for (const status of ['403 Forbidden', '503 Service Unavailable']) {
    test(`an upgrade answered with ${status}, connection ${connection}, is tried again and proves nothing`, async t => {
      await startPaired()
      await registry.stop(17)
      reports.length = 0
      const answer = `HTTP/1.1 ${status}\r\ncontent-length: 0\r\nconnection: ${connection}\r\n\r\n`
      const { url, sockets } = await inFront(t, socket => connection === 'close' ? socket.end(answer) : socket.write(answer))
      webSocketUrl = url
      registry.start(session)
      await until('three attempts', () => sockets.size >= 3)
      assert.equal(reports.some(({ state }) => state === 'quarantined'), false)
      assert.ok(reports.filter(({ state }) => state === 'waiting_retry').every(({ code }) => code === null))
      webSocketUrl = whatsapp.wsUrl
      await registry.stop(17)
      registry.start({ ...session, epoch: 1 })
      await until('the start slot is free and the login is still good', () => statesOf(17) === 'open')
    })
  }
}

test('a peer that says nothing does not keep its start slot', async t => {
  await startPaired()
  await registry.stop(17)
  const { sockets, url } = await inFront(t, nothing)
  webSocketUrl = url
  clock = { ...systemClock, after: (ms, callback) => systemClock.after(ms === LOGIN_LIMIT_MS ? 200 : ms, callback) }
  registry.start(session)
  await until('it waits for a retry', () => statesOf(17) === 'waiting_retry', 5000)
  assert.match(registry.describe()[0].reason, /ended the connection \(no code\)/)
  await until('the next attempt', () => sockets.size >= 2)
})

test('who stops a session that is being stopped waits for the same writes', async () => {
  await startPaired()
  orchestrator.behave = async call => { if (call === 'auth-state/write') await new Promise(resolve => setTimeout(resolve, 1500)) }
  const contact = await whatsapp.post('/contacts', { name: 'Ana' })
  await whatsapp.post('/send', { from: contact.phone, to: '5511999990000', text: 'hello' })
  await until('something is written', () => orchestrator.callsTo('/write').some(({ body }) => body.set.some(([type]) => type === 'decrypted-message')))
  let first = false
  const stopped = registry.stop(17).then(() => { first = true })
  await until('the socket is closed', () => [...whatsapp.world.connections].length === 0)
  await settled()
  await registry.stop(17)
  await settled(1)
  assert.ok(first)
  await stopped
})

test('a message that left is not called unsent because the commit after it failed', async () => {
  await startPaired()
  const contact = await whatsapp.post('/contacts', { name: 'Ana' })
  let failed = 0
  orchestrator.behave = (call, body) => {
    if (call !== 'auth-state/write' || !body.set.some(([type]) => type === 'device-list')) return undefined
    failed += 1
    return { status: 503, body: { code: 'database_unavailable' } }
  }
  const sent = await registry.get(17).send({ to: `${contact.phone}@s.whatsapp.net`, type: 'text', text: 'left' })
  assert.match(sent.message_id, /^[0-9A-F]+$/)
  assert.ok(failed > 0)
  orchestrator.behave = call => call === 'auth-state/write' ? { status: 503, body: { code: 'database_unavailable' } } : undefined
  await assert.rejects(registry.get(17).send({ to: `${contact.phone}@s.whatsapp.net`, type: 'text', text: 'did not leave' }), { code: 'send_failed' })
})

test('a receipt that cannot be reported costs neither the next one nor the end of the connection', async () => {
  await startPaired()
  const contact = await whatsapp.post('/contacts', { name: 'Ana' })
  let odd = 0
  const isDelivery = ({ status }) => status === 'delivered'
  onReport = (_type, data) => { if (isDelivery(data) && odd++ === 0) throw new Error('odd') }
  for (const text of ['odd', 'even']) await registry.get(17).send({ to: contact.jid, type: 'text', text })
  await until('the next one', () => reports.some(isDelivery))
  const opened = () => reports.filter(({ state }) => state === 'open').length
  const before = opened()
  for (const connection of whatsapp.world.connections) connection.drop()
  await until('it is open again', () => opened() > before)
})

test('a logout on a connection that is closing says so', async () => {
  await startPaired()
  const connection = registry.get(17)
  const stopped = registry.stop(17)
  await settled(1)
  await assert.rejects(connection.logout(), { code: 'session_not_open' })
  await stopped
})
