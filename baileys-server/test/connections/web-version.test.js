import assert from 'node:assert/strict'
import http from 'node:http'
import { afterEach, beforeEach, test } from 'node:test'
import { DEFAULT_CONNECTION_CONFIG } from '@whiskeysockets/baileys'
import { WebVersion } from '../../src/connections/web-version.js'
import { FakeClock } from '../support/clock.js'
import { silentLog } from '../support/in-process.js'

const OWN = DEFAULT_CONNECTION_CONFIG.version

let server, page, asked, clock, version

beforeEach(async () => {
  asked = []
  server = http.createServer((request, response) => {
    asked.push(request.url)
    response.writeHead(page.status).end(page.text)
  })
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  clock = new FakeClock()
  version = new WebVersion({ webSocketUrl: `ws://127.0.0.1:${server.address().port}/ws/chat`, clock, log: silentLog })
})

afterEach(() => server.close())

/** As web.whatsapp.com/sw.js has it: JSON within a string of JavaScript. */
const servesRevision = revision => ({ status: 200, text: `JSON.parse("{\\"client_revision\\":${revision},\\"x\\":1}")` })

test('Baileys has its own version until WhatsApp calls it outdated; then all sessions take the newest after one look', async () => {
  assert.deepEqual(version.current, OWN)
  page = servesRevision(OWN[2] + 5)
  assert.deepEqual(await Promise.all([version.newerThan(OWN), version.newerThan(OWN)]), [true, true])
  assert.deepEqual(version.current, [2, 3000, OWN[2] + 5])
  assert.equal(await version.newerThan(OWN), true)
  assert.deepEqual(asked, ['/sw.js'])
})

test('an answer without a newer version changes nothing, and is asked for again only after a while', async () => {
  for (page of [servesRevision(OWN[2]), { status: 200, text: 'nothing' }, { status: 400, text: servesRevision(OWN[2] + 1).text }]) {
    assert.equal(await version.newerThan(OWN), false)
    assert.equal(await version.newerThan(OWN), false)
    await clock.advance(60_000)
  }
  assert.equal(asked.length, 3)
  assert.deepEqual(version.current, OWN)
})
