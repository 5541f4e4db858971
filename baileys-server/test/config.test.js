import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InvalidConfig, readConfig } from '../src/config.js'

const required = { INTERNAL_TOKEN: 'ab'.repeat(32), ORCHESTRATOR_SOCKET: '/run/orchestrator.sock' }

test('the defaults are those of the contract', () => {
  assert.deepEqual(readConfig(required), {
    sidecarPort: 3000, internalToken: 'ab'.repeat(32), orchestratorSocket: '/run/orchestrator.sock',
    whatsappWebUrl: 'wss://web.whatsapp.com/ws/chat', whatsappWebUrlIsDefault: true, whatsappRootKey: null, backupTimeoutMs: 10_000,
    backupRetries: 3, backupThrottleMs: 30_000, backupIntervalMs: 300_000, backupInitialDelayMs: 10_000, keepAliveMs: 30_000, qrMs: 20_000,
    journalDir: null, mediaDir: null, journalMaxBytes: 256 * 1024 * 1024, journalKeys: [], outboundAllowedNetworks: [], otlpEndpoint: null, otlpHeaders: {}, logLevel: 'info'
  })
  assert.ok(Object.isFrozen(readConfig(required)))
})

test('seconds may be decimal fractions', () => {
  assert.equal(readConfig({ ...required, BACKUP_TIMEOUT_SECONDS: '0.2' }).backupTimeoutMs, 200)
})

test('the keys of the journal are a list', () => {
  const { journalKeys } = readConfig({ ...required, JOURNAL_KEYS: `${'01'.repeat(32)}, ${'02'.repeat(32)}` })
  assert.deepEqual(journalKeys, [Buffer.alloc(32, 1), Buffer.alloc(32, 2)])
})

const BAD = [
  ['SIDECAR_PORT', 'http'], ['SIDECAR_PORT', '70000'], ['SIDECAR_PORT', '-1'], ['INTERNAL_TOKEN', ''], ['INTERNAL_TOKEN', 'xyz'], ['INTERNAL_TOKEN', 'ab'],
  ['ORCHESTRATOR_SOCKET', ' '], ['WHATSAPP_WEB_URL', 'https://web.whatsapp.com'], ['WHATSAPP_WEB_URL', 'web.whatsapp.com'],
  ['WHATSAPP_ROOT_KEY', 'ab'], ['WHATSAPP_ROOT_KEY', 'zz'.repeat(32)], ['BACKUP_TIMEOUT_SECONDS', '0'], ['BACKUP_TIMEOUT_SECONDS', 'ten'],
  ['BACKUP_ATTEMPTS', '1.5'], ['BACKUP_THROTTLE_SECONDS', '-3'], ['BACKUP_INTERVAL_SECONDS', '1e3'], ['BACKUP_INITIAL_DELAY_SECONDS', 'Infinity'],
  ['KEEP_ALIVE_SECONDS', '0'], ['QR_SECONDS', '0'], ['JOURNAL_MAX_MIB', '0'], ['JOURNAL_KEYS', 'ab'], ['JOURNAL_KEYS', `${'ab'.repeat(32)},`], ['OUTBOUND_ALLOWED_NETWORKS', '10.0.0.0/33'], ['LOG_LEVEL', 'loud']
]
for (const [name, value] of BAD) {
  test(`${name}=${JSON.stringify(value)} is refused with one sentence`, () => {
    assert.throws(() => readConfig({ ...required, [name]: value }), error => {
      assert.ok(error instanceof InvalidConfig)
      assert.equal(error.problems.length, 1)
      assert.match(error.problems[0], new RegExp(`^${name} .*\\.$`))
      assert.ok(value.trim() === '' || name !== 'INTERNAL_TOKEN' || !error.message.includes(value))
      return true
    })
  })
}

test('all problems are told at once', () => {
  assert.throws(() => readConfig({ SIDECAR_PORT: 'x' }), error => error.problems.length === 3)
})
