import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backOffMs, decideAfterDisconnect } from '../../src/connections/disconnect-policy.js'

const NOW = 1_766_000_000_000
const USUAL = {
  statusCode: 428, message: 'Connection Closed', conflictType: null, paired: true, attempt: 0, millisecondsSinceRestartRequired: null,
  consecutiveUnauthorized: 0, leaseHeld: 'unknown', retriedReplaced: false, newerVersion: false, banExpiresAt: null, now: NOW, random: 0.5
}

/** @type {[what: string, facts: object, decision: object][]} */
const TABLE = [
  ['515 restart required', { statusCode: 515 }, { action: 'reconnect', delayMs: 0 }],
  ['408 lost', { statusCode: 408, message: 'Connection was lost' }, { action: 'reconnect', delayMs: 500 }],
  ['408 on a query', { statusCode: 408, message: 'Timed Out' }, { action: 'reconnect' }],
  ['408 QR refs ended', { statusCode: 408, message: 'QR refs attempts ended', paired: false }, { action: 'stop_pairing', delayMs: 0 }],
  ['408 QR refs ended while a scan is being made durable', { statusCode: 408, message: 'QR refs attempts ended' }, { action: 'reconnect' }],
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
  ['401 of an unpaired identity', { statusCode: 401, paired: false, consecutiveUnauthorized: 5 }, { action: 'reconnect', doubtful: undefined }],
  ['device_removed of an unpaired identity', { statusCode: 401, conflictType: 'device_removed', paired: false }, { action: 'reconnect' }],
  ['our own logout', { statusCode: 401, message: 'Intentional Logout' }, { action: 'quarantine' }],
  ['402 with an expiry', { statusCode: 402, banExpiresAt: NOW + 5_000_000 }, { action: 'wait', delayMs: 5_000_000 }],
  ['402 that just expired', { statusCode: 402, banExpiresAt: NOW - 1 }, { action: 'wait', delayMs: 1000 }],
  ['402 for years is looked at again every day', { statusCode: 402, banExpiresAt: NOW + 1e12 }, { action: 'wait', delayMs: 86_400_000 }],
  ['402 beyond all dates', { statusCode: 402, banExpiresAt: NOW + 1e16 }, { action: 'wait', delayMs: 3_600_000 }],
  ['402 without an expiry', { statusCode: 402 }, { action: 'wait', delayMs: 3_600_000 }],
  ['405 outdated', { statusCode: 405 }, { action: 'reconnect', delayMs: 30_000 }],
  ['405 outdated, third', { statusCode: 405, attempt: 2 }, { action: 'reconnect', delayMs: 120_000 }],
  ['405 outdated, tenth', { statusCode: 405, attempt: 9 }, { action: 'reconnect', delayMs: 600_000 }],
  ['411 multi-device is off', { statusCode: 411 }, { action: 'pause' }]
]

for (const [what, facts, expected] of TABLE) {
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

test('the back-off is full jitter: anything from nothing to the ceiling', () => {
  assert.equal(backOffMs(3, 0), 0)
  assert.equal(backOffMs(3, 0.9999), 7999)
})
