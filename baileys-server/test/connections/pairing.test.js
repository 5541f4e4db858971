import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import '../fake-whatsapp/unref-timers.js'
import { initAuthCreds, makeWASocket } from '@whiskeysockets/baileys'
import { systemClock } from '../../src/clock.js'
import { PairingDriver } from '../../src/connections/pairing-driver.js'
import { baileysLogger } from '../../src/log.js'
import { InProcess, PHONE, SESSION, silentLog } from '../support/in-process.js'
import { PATIENCE, until } from '../support/until.js'

/** Linking a phone: the real Baileys, driven from outside, against everything that WhatsApp does since 2026. */

/** @type {InProcess} */
let sidecar

afterEach(() => sidecar.close())

async function pairing(options) {
  sidecar = await InProcess.start(options)
  sidecar.registry.start(SESSION)
  return await newQr()
}

const qrs = () => sidecar.reports.filter(({ type }) => type === 'pairing.qr')
const failures = () => sidecar.reports.filter(({ type }) => type === 'pairing.failed')
const newQr = (after = 0) => until('a QR', () => qrs()[after])
const fail = (kind, more = {}) => sidecar.whatsapp.post('/failures', { kind, ...more })
const scan = qr => sidecar.whatsapp.post('/scan', { qr, phone: PHONE })
const code = (phone = PHONE) => sidecar.registry.get(17).requestPairingCode(phone)
const enter = pairingCode => sidecar.whatsapp.post('/enter-code', { code: pairingCode, phone: PHONE })
const opens = () => until('it is open', () => sidecar.state === 'open')
const partsOf = ({ qr }) => {
  const [ref, noiseKey, identityKey, secret] = qr.split('#').at(-1).split(',')
  return { ref, noiseKey, identityKey, secret }
}
async function endsWith(failure) {
  await until('it stopped', () => sidecar.state === 'stopped')
  assert.deepEqual(failures().map(({ code, retrying }) => [code, retrying]), [[failure, false]])
  assert.match(failures()[0].reason, /^[A-Z].*\.$/)
}
async function startsAgainAfter(failure, shown) {
  const next = await newQr(qrs().indexOf(shown) + 1)
  assert.deepEqual(failures().map(({ code, retrying }) => [code, retrying]), [[failure, true]])
  assert.notEqual(partsOf(next).identityKey, partsOf(shown).identityKey)
  return next
}

test('WhatsApp wants another secret before the scan: the same QR ref is drawn with it, and that one links', async () => {
  const first = await pairing()
  await sidecar.whatsapp.post('/refresh-qr', { qr: first.qr })
  const second = await newQr(1)
  await sidecar.whatsapp.post('/refresh-qr', { qr: second.qr, tag: 'pair-device-rotate-qr' })
  const third = await newQr(2)
  assert.deepEqual([first, second, third].map(({ rotated }) => rotated), [false, true, true])
  for (const drawn of [second, third]) {
    assert.deepEqual({ ...partsOf(drawn), secret: null }, { ...partsOf(first), secret: null })
    assert.equal(drawn.expires_at, first.expires_at, 'the life of the ref goes on')
  }
  assert.equal(new Set([first, second, third].map(drawn => partsOf(drawn).secret)).size, 3)
  await assert.rejects(scan(first.qr), /revoked_secret/)
  await scan(third.qr)
  await opens()
  assert.deepEqual(failures(), [])
  assert.equal((await sidecar.whatsapp.get('/counts')).unacknowledged_notifications ?? 0, 0)
})

test('WhatsApp wants another secret right after the scan: the next scan links', async () => {
  const first = await pairing()
  await fail('refresh_after_scan')
  await assert.rejects(scan(first.qr), /secret_rotated/)
  const second = await newQr(1)
  assert.ok(second.rotated)
  await scan(second.qr)
  await opens()
})

test('a pair-success under another secret is refused at once, retried with a fresh QR, and not for ever', async () => {
  let shown = await pairing()
  await fail('pair_bad_secret', { times: 6 })
  for (let attempt = 1; attempt <= 6; attempt++) {
    await assert.rejects(scan(shown.qr), /pairing_failed/)
    if (attempt < 6) shown = await newQr(attempt)
  }
  await until('it stopped', () => sidecar.state === 'stopped')
  assert.deepEqual(failures().map(({ code, retrying }) => [code, retrying]),
    [...Array(5).fill(['secret_rotated', true]), ['secret_rotated', false]])
  assert.equal(new Set(qrs().map(drawn => partsOf(drawn).identityKey)).size, 6)
  assert.equal(sidecar.orchestrator.callsTo('/write').length, 0)
})

test('an account that asks for a passkey ends the pairing at once, and no other QR follows', async () => {
  const { qr } = await pairing()
  await fail('passkey')
  await assert.rejects(scan(qr), /passkey_required/)
  await endsWith('passkey_required')
  assert.equal(qrs().length, 1)
})

test('a code is the same within a minute, survives the QR codes, a refresh and being taken back, and links', async () => {
  let shift = 0
  let held = []
  const clock = {
    ...systemClock,
    uptime: () => systemClock.uptime() + shift,
    after: (ms, callback) => {
      if (held === null || ![250, 750].includes(ms)) return systemClock.after(ms, callback)
      let cancel = () => { callback = () => {} }
      held.push(() => { cancel = systemClock.after(ms, () => callback()) })
      return () => cancel()
    }
  }
  const goOn = () => { // with the lives of the QR codes, which stood still so that codes may take their time
    const begun = held
    held = null
    for (const begin of begun) begin()
  }
  await pairing({ clock, socket: { qrMs: 250 } })
  const [first, again, other] = await Promise.all([code(), code(), code('5511999990001')])
  assert.equal(first, again)
  assert.notEqual(first.pairing_code, other.pairing_code)
  const mine = await code()
  assert.equal(await code(), mine)
  shift = 60_000
  const later = await code()
  assert.notEqual(later.pairing_code, mine.pairing_code)
  const shown = sidecar.registry.describe()[0].qr
  await sidecar.whatsapp.post('/refresh-qr', { qr: shown.qr })
  await until('it is drawn anew', () => qrs().some(({ rotated }) => rotated))
  goOn()
  await until('the QR codes are through', () => qrs().length === 7 && sidecar.registry.describe()[0].qr === null)
  assert.deepEqual(sidecar.registry.describe()[0].pairing_code, later)
  await fail('code_taken_back')
  await assert.rejects(enter(later.pairing_code), /code_taken_back/)
  const newest = await until('a new code', () => {
    const { pairing_code: shown } = sidecar.reports.findLast(({ type }) => type === 'pairing.code')
    return shown !== later.pairing_code && shown
  })
  await fail('refresh_after_code')
  await enter(newest)
  await opens()
  assert.deepEqual(failures(), [])
})

test('a code ends with its attempt', async () => {
  await pairing({ socket: { qrMs: 500, attemptMs: 4000 * PATIENCE } }) // time enough to ask for a code, on a busy machine too
  const { expires_at: expiresAt } = await code()
  await endsWith('timed_out')
  assert.ok(Date.now() >= expiresAt)
})

test('a phone that answers a code without its key is offered a QR', async () => {
  const shown = await pairing()
  const { pairing_code: pairingCode } = await code()
  await fail('code_without_key')
  await assert.rejects(enter(pairingCode), /code_unanswered/)
  await startsAgainAfter('code_not_supported', shown)
})

test('too many codes: whoever asks is told, and a QR follows', async () => {
  const shown = await pairing()
  await fail('code_rate_limited')
  await assert.rejects(code(), { code: 'pairing_code_rate_limited' })
  await startsAgainAfter('code_rate_limited', shown)
})

for (const [text, failure] of [['bad-request', 'refused_by_phone'], ['device-limit', 'too_many_devices']]) {
  test(`a code that is refused with "${text}" ends the pairing: ${failure}`, async () => {
    await pairing()
    const { pairing_code: pairingCode } = await code()
    await fail('code_refused', { code: 403, text })
    await assert.rejects(enter(pairingCode), /code_refused/)
    await endsWith(failure)
  })
}

test('a blocked number ends the pairing', async () => {
  sidecar = await InProcess.start()
  await fail('refuse_registration', { reason: 403 })
  sidecar.registry.start(SESSION)
  await endsWith('banned')
  assert.deepEqual(qrs(), [])
})

test('the socket that WhatsApp closes because nobody logged in is followed by another, with a fresh identity', async () => {
  const shown = await pairing({ whatsapp: { registrationTimeoutMs: 300 } })
  const next = await newQr(1)
  assert.notEqual(partsOf(next).identityKey, partsOf(shown).identityKey)
  assert.deepEqual(failures(), [])
})

test('a connection that is lost before the account is signed leaves nothing; afterwards it is a link', async () => {
  const shown = await pairing()
  await fail('drop_at_scan')
  await assert.rejects(scan(shown.qr), /pairing_failed/)
  const next = await newQr(1)
  assert.notEqual(partsOf(next).identityKey, partsOf(shown).identityKey)
  assert.equal(sidecar.orchestrator.callsTo('/write').length, 0)
  await fail('drop_at_signature')
  await assert.rejects(scan(next.qr), /pairing_failed/)
  await opens()
  assert.equal(qrs().length, 2)
})

test('a link that WhatsApp never confirmed is told as that, not as a logout', async () => {
  const { qr } = await pairing()
  await fail('drop_at_pair_success')
  await assert.rejects(scan(qr), /pairing_failed/)
  await endsWith('unconfirmed')
  assert.equal(sidecar.orchestrator.session(17).account.jid.split(':')[0], PHONE)
})

test('with a Baileys that does it all by itself, its own QR codes are shown', async () => {
  sidecar = await InProcess.start()
  const socket = makeWASocket(/** @type {any} */ ({
    auth: { creds: initAuthCreds(), keys: { get: async () => ({}), set: async () => {} } },
    waWebSocketUrl: sidecar.whatsapp.wsUrl, logger: baileysLogger(silentLog)
  }))
  const shown = []
  let paired = false
  const parts = { credsDurable: async () => {}, browser: ['Ubuntu', 'Chrome', '22'], clock: systemClock, log: silentLog, baileysVersion: '7.1.0' }
  const driver = new PairingDriver(socket, parts, { qr: qr => shown.push(qr), code: () => {}, paired: () => { paired = true } })
  const { qr } = await until('a QR', () => shown[0])
  assert.deepEqual([socket.ws.listenerCount('CB:iq,type:set,pair-device'), socket.ws.listenerCount('CB:notification,type:companion_reg_refresh')], [1, 0])
  await scan(qr)
  assert.ok(paired)
  driver.stop()
  socket.end(undefined)
})
