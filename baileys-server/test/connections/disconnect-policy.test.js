import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backOffMs, decideAfterDisconnect } from '../../src/connections/disconnect-policy.js'

const NOW = 1_766_000_000_000
const USUAL = {
  statusCode: 428, message: 'Connection Closed', conflictType: null, pairingFailure: null, paired: true, neverLoggedIn: false,
  pairingRetries: 0, pairingMs: 0, attempt: 0, millisecondsSinceRestartRequired: null,
  consecutiveUnauthorized: 0, leaseHeld: 'unknown', retriedReplaced: false, newerVersion: false, banExpiresAt: null, now: NOW, random: 0.5
}

/** @type {[what: string, facts: object, decision: object][]} */
const TABLE = [
  ['515 restart required', { statusCode: 515 }, { action: 'reconnect', delayMs: 0 }],
  ['408 lost', { statusCode: 408, message: 'Connection was lost' }, { action: 'reconnect', delayMs: 500 }],
  ['408 on a query', { statusCode: 408, message: 'Timed Out' }, { action: 'reconnect' }],
  ['428 closed', { statusCode: 428 }, { action: 'reconnect', delayMs: 500 }],
  ['500', { statusCode: 500 }, { action: 'reconnect' }],
  ['503', { statusCode: 503 }, { action: 'reconnect' }],
  ['a number nobody knows', { statusCode: 418 }, { action: 'reconnect' }],
  ['no number at all', { statusCode: null, message: '' }, { action: 'reconnect' }],
  ['the 3rd in a row waits longer', { attempt: 2 }, { action: 'reconnect', delayMs: 2000 }],
  ['the 100th waits at most 60 s', { attempt: 100, random: 0.999 }, { action: 'reconnect', delayMs: 59_940 }],
  ['440, lease lost', { statusCode: 440, leaseHeld: false }, { action: 'stop' }],
  ['440, lease held', { statusCode: 440, leaseHeld: true }, { action: 'reconnect', delayMs: 3500, replaced: true }],
  ['440, lease unknown', { statusCode: 440, leaseHeld: 'unknown', random: 0 }, { action: 'reconnect', delayMs: 2000, replaced: true }],
  ['440 again, lease held', { statusCode: 440, leaseHeld: true, retriedReplaced: true }, { action: 'conflict' }],
  ['440 again, lease lost', { statusCode: 440, leaseHeld: false, retriedReplaced: true }, { action: 'stop' }],
  ['401 device_removed', { statusCode: 401, conflictType: 'device_removed' }, { action: 'quarantine' }],
  ['401 device_removed right after a 515', { statusCode: 401, conflictType: 'device_removed', millisecondsSinceRestartRequired: 10 }, { action: 'quarantine' }],
  ['device_removed without a code', { statusCode: 440, conflictType: 'device_removed' }, { action: 'quarantine' }],
  ['401 at login, first', { statusCode: 401, message: 'Connection Failure' }, { action: 'reconnect', doubtful: true }],
  ['401 at login, second', { statusCode: 401, consecutiveUnauthorized: 1 }, { action: 'quarantine' }],
  ['401 within 30 s of a 515', { statusCode: 401, millisecondsSinceRestartRequired: 29_999 }, { action: 'reconnect', doubtful: undefined }],
  ['401 within 30 s of a 515, second', { statusCode: 401, millisecondsSinceRestartRequired: 5, consecutiveUnauthorized: 1 }, { action: 'reconnect' }],
  ['401 30 s after a 515', { statusCode: 401, millisecondsSinceRestartRequired: 30_000 }, { action: 'reconnect', doubtful: true }],
  ['403 first', { statusCode: 403 }, { action: 'reconnect', doubtful: true }],
  ['403 second', { statusCode: 403, consecutiveUnauthorized: 1 }, { action: 'quarantine' }],
  ['406 first', { statusCode: 406 }, { action: 'reconnect', doubtful: true }],
  ['406 second', { statusCode: 406, consecutiveUnauthorized: 1 }, { action: 'quarantine' }],
  ['401 at the first login, first', { statusCode: 401, neverLoggedIn: true }, { action: 'reconnect', doubtful: true }],
  ['401 at the first login, second', { statusCode: 401, neverLoggedIn: true, consecutiveUnauthorized: 1 }, { action: 'stop_pairing', failure: 'unconfirmed' }],
  ['device_removed before the first login', { statusCode: 401, conflictType: 'device_removed', neverLoggedIn: true }, { action: 'quarantine' }],
  ['our own logout', { statusCode: 401, message: 'Intentional Logout' }, { action: 'quarantine' }],
  ['402 with an expiry', { statusCode: 402, banExpiresAt: NOW + 5_000_000 }, { action: 'wait', delayMs: 5_000_000 }],
  ['402 that just expired', { statusCode: 402, banExpiresAt: NOW - 1 }, { action: 'wait', delayMs: 1000 }],
  ['402 for years is looked at again every day', { statusCode: 402, banExpiresAt: NOW + 1e12 }, { action: 'wait', delayMs: 86_400_000 }],
  ['402 beyond all dates', { statusCode: 402, banExpiresAt: NOW + 1e16 }, { action: 'wait', delayMs: 3_600_000 }],
  ['402 without an expiry', { statusCode: 402 }, { action: 'wait', delayMs: 3_600_000 }],
  ['405 outdated', { statusCode: 405 }, { action: 'reconnect', delayMs: 30_000 }],
  ['405 outdated, third', { statusCode: 405, attempt: 2 }, { action: 'reconnect', delayMs: 120_000 }],
  ['405 outdated, tenth', { statusCode: 405, attempt: 9 }, { action: 'reconnect', delayMs: 600_000 }],
  ['411 multi-device is off', { statusCode: 411 }, { action: 'pause' }],
  ['a proxy in the way', { statusCode: 500, message: 'WebSocket Error (The proxy refuses the credentials)' },
    { action: 'reconnect', delayMs: 500, proxy: 'The proxy refuses the credentials.' }]
]

/** Before there is an account. @type {typeof TABLE} */
const PAIRING = [
  ['a proxy in the way', { statusCode: 500, message: "WebSocket Error (The proxy can't be reached (ECONNREFUSED))" },
    { action: 'reconnect', proxy: "The proxy can't be reached (ECONNREFUSED)." }],
  ['nobody scanned', { pairingFailure: 'timed_out' }, { action: 'stop_pairing', failure: 'timed_out' }],
  ['a passkey', { pairingFailure: 'passkey_required' }, { action: 'stop_pairing', failure: 'passkey_required' }],
  ['the secret was taken back', { pairingFailure: 'secret_rotated' }, { action: 'reconnect', delayMs: 0, failure: 'secret_rotated' }],
  ['... for the sixth time', { pairingFailure: 'secret_rotated', pairingRetries: 5 }, { action: 'stop_pairing', failure: 'secret_rotated' }],
  ['a code without a key', { pairingFailure: 'code_not_supported' }, { action: 'reconnect', failure: 'code_not_supported' }],
  ['a refused code', { pairingFailure: 'code_refused' }, { action: 'reconnect', failure: 'code_refused' }],
  ['too many codes', { pairingFailure: 'code_rate_limited' }, { action: 'reconnect', failure: 'code_rate_limited' }],
  ['too many codes, and on and on', { pairingFailure: 'code_rate_limited', pairingRetries: 5 }, { action: 'stop_pairing' }],
  ['too many devices', { pairingFailure: 'too_many_devices' }, { action: 'stop_pairing', failure: 'too_many_devices' }],
  ['the account could not be stored', { pairingFailure: 'not_stored', paired: true }, { action: 'stop_pairing', failure: 'not_stored' }],
  ['401', { statusCode: 401 }, { action: 'stop_pairing', failure: 'refused_by_phone' }],
  ['device_removed', { statusCode: 401, conflictType: 'device_removed' }, { action: 'stop_pairing', failure: 'refused_by_phone' }],
  ['402', { statusCode: 402, banExpiresAt: NOW + 5_000_000 }, { action: 'stop_pairing', failure: 'banned' }],
  ['403', { statusCode: 403 }, { action: 'stop_pairing', failure: 'banned' }],
  ['406', { statusCode: 406 }, { action: 'stop_pairing', failure: 'banned' }],
  ['405, a newer version is known', { statusCode: 405, newerVersion: true }, { action: 'reconnect', failure: undefined }],
  ['405, none is', { statusCode: 405 }, { action: 'stop_pairing', failure: 'client_outdated' }],
  ['411', { statusCode: 411 }, { action: 'stop_pairing', failure: 'multi_device_off' }],
  ['428', {}, { action: 'reconnect', delayMs: 500, failure: undefined }],
  ['428 for ten minutes', { pairingMs: 600_000 }, { action: 'stop_pairing', failure: 'connection_lost' }],
  ['the end of Baileys\' own QR codes', { statusCode: 408, message: 'QR refs attempts ended' }, { action: 'stop_pairing', failure: 'timed_out' }]
]

for (const [what, facts, expected] of [...TABLE, ...PAIRING.map(([what, facts, expected]) => [`unpaired: ${what}`, { paired: false, ...facts }, expected])]) {
  test(`${what} -> ${expected.action}`, () => {
    const decision = decideAfterDisconnect({ ...USUAL, ...facts })
    for (const [name, value] of Object.entries(expected)) assert.equal(decision[name], value, name)
    assert.match(decision.reason, /^[A-Z].*\.$/)
  })
}

test('no reason but a proven logout leads to a quarantine', () => {
  const proofs = [401, 403, 406]
  for (let statusCode = 400; statusCode < 600; statusCode++) {
    const { action } = decideAfterDisconnect({ ...USUAL, statusCode, consecutiveUnauthorized: 1 })
    assert.equal(action === 'quarantine', proofs.includes(statusCode), String(statusCode))
  }
})

test('the back-off is full jitter: anything from a millisecond to the ceiling', () => {
  assert.equal(backOffMs(3, 0), 1)
  assert.equal(backOffMs(3, 0.9999), 7999)
})
