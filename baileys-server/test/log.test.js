import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLog } from '../src/log.js'

const KEY = 'wEnMUjW3xbNnwQ5Jzg1y/hQTk2lYcHqf0bqMHAG9+VE='

test('nothing that looks like a secret is in a line, wherever it was', () => {
  const lines = []
  const log = createLog('info', ['correct-horse-battery'], { write: line => lines.push(line) })
  log.child({ chat: '5511987654321@s.whatsapp.net', epoch: 7 }).info({ nested: [{ key: KEY }] }, `xcorrect-horse-batteryx ${KEY}`)
  log.info({ bytes: Buffer.from(KEY), array: new Uint8Array(32).fill(81), qr: '2@abc' }, 'seen')
  log.error(new Error(`proxy http://user:hunter22@10.0.0.1:3128 with ${KEY}`))
  assert.equal(lines.length, 3)
  assert.ok(lines.every(line => line.endsWith('}\n')))
  for (const secret of [KEY, 'horse', 'hunter22', '55119876', '81,81', '"1":81', '2@abc']) assert.ok(!lines.join('').includes(secret), secret)
  const [first, second, third] = lines.map(line => JSON.parse(line))
  assert.deepEqual([first.chat, first.epoch, first.event], ['***4321@s.whatsapp.net', 7, 'x[secret]x [secret]'])
  assert.match(second.time, /^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  assert.match(third.err.stack, /log\.test\.js/)
})

test('what JSON can not hold is logged without an exception', () => {
  const lines = []
  const log = createLog('info', [], { write: line => lines.push(line) })
  const circle = {}
  circle.self = circle
  log.info({ circle, none: undefined, big: 5n, nan: NaN }, 'strange')
  assert.equal(JSON.parse(lines[0]).event, 'strange')
})
