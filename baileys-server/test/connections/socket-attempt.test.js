import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { beforeEach, test } from 'node:test'
import { SocketAttempt } from '../../src/connections/socket-attempt.js'
import { FakeClock } from '../support/clock.js'

/** How an attempt ends, with a socket that misbehaves as Baileys' never should. */

const nothing = () => {}
const log = { info: nothing, warn: nothing, error: nothing, child: () => log }

let clock, sock, attempt

beforeEach(() => {
  clock = new FakeClock()
  const ws = new EventEmitter()
  ws.on('error', nothing)
  sock = { ws, ev: Object.assign(new EventEmitter(), { flush: () => { throw new Error('odd event') } }), end: nothing }
  const authState = { creds: {}, forBaileys: {}, makeSignalRepository: nothing }
  const options = { webSocketUrl: 'ws://127.0.0.1:1', keepAliveMs: 30_000 }
  attempt = new SocketAttempt(authState, { attach: nothing }, { makeWASocket: () => sock, incoming: { attach: nothing }, activity: { attach: nothing, configFor: nothing }, clock, log, options }, {})
})

test('the end is known although an event before it could not be handled', async () => {
  sock.ev.emit('connection.update', { connection: 'close', lastDisconnect: { error: Object.assign(new Error('lost'), { output: { statusCode: 428 } }) } })
  assert.equal((await attempt.ended).statusCode, 428)
})

test('closing ends the attempt although the socket never says so', async () => {
  const closed = attempt.close()
  await clock.advance(3000)
  await closed
  assert.equal((await attempt.ended).statusCode, null)
})
