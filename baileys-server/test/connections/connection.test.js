import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import '../../src/silence-console.js'
import { WA_CERT_DETAILS } from '@whiskeysockets/baileys'
import { systemClock } from '../../src/clock.js'
import { Registry } from '../../src/connections/registry.js'
import { StartSlots } from '../../src/connections/start-slots.js'
import { OrchestratorClient } from '../../src/orchestrator/client.js'
import { SessionBackup } from '../../src/orchestrator/session-backup.js'
import { settled } from '../support/clock.js'
import { FakeOrchestrator, TOKEN } from '../support/orchestrator.js'
import { until } from '../support/until.js'
import { startWhatsApp } from '../support/whatsapp.js'

/** One connection in this process, where its timing can be set. */

const nothing = () => {}
const log = { debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => log }
const session = { sessionRef: 17, sessionId: 'loja', generation: 1, epoch: 1 }

let orchestrator, whatsapp, client, registry, reports, qrMs

beforeEach(async () => {
  orchestrator = await new FakeOrchestrator().listen()
  whatsapp = await startWhatsApp()
  WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(whatsapp.rootKey, 'hex')
  client = new OrchestratorClient({ socketPath: orchestrator.socketPath, token: TOKEN, timeoutMs: 1000, retries: 0, clock: systemClock })
  reports = []
  qrMs = undefined
  const startSlots = new StartSlots(8)
  registry = new Registry(started => ({
    backup: new SessionBackup(client, started),
    report: (type, data) => reports.push({ type, ...data }),
    startSlots, clock: systemClock, random: Math.random, log,
    options: {
      socket: { webSocketUrl: whatsapp.wsUrl, keepAliveMs: 30_000, qrMs },
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
  orchestrator.behave = call => call === 'auth-state/load' ? 'hang' : undefined
  registry.start(session)
  await until('it loads', () => orchestrator.callsTo('/load').length > 0)
  const startedAt = Date.now()
  await registry.stop(17)
  assert.ok(Date.now() - startedAt < 3000)
  assert.equal(registry.size, 0)
})
