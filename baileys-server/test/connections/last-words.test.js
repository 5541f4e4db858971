import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { afterEach, beforeEach, test } from 'node:test'
import { takeLastWords } from '../../src/connections/last-words.js'

let folder

beforeEach(() => { folder = fs.mkdtempSync(join(tmpdir(), 'last-words-')) })
afterEach(() => fs.rmSync(folder, { recursive: true }))

const MODULE = new URL('../../src/connections/last-words.js', import.meta.url).href

/** A process that ends as main.js does. @param {string} work */
function died(work) {
  const script = `
    import { currentSession, leaveLastWords } from '${MODULE}'
    process.on('uncaughtException', error => { leaveLastWords(${JSON.stringify(folder)}, error.message); process.exit(1) })
    ${work}`
  assert.equal(spawnSync(process.execPath, ['--input-type=module', '-e', script]).status, 1)
}

test('the next process learns at the work of which session the one before failed, once', () => {
  died(`currentSession.run(16, () => setTimeout(() => {}, 1000))
    currentSession.run(17, async () => { await null; setTimeout(() => { throw new Error('boom') }, 5) })`)
  assert.equal(fs.statSync(join(folder, 'last-words.json')).mode & 0o777, 0o600)
  assert.deepEqual(takeLastWords(folder), { session_ref: 17, reason: 'boom' })
  assert.equal(takeLastWords(folder), null)
})

test('work for no session blames none', () => {
  died("setImmediate(() => { throw new Error('boom') })")
  assert.deepEqual(takeLastWords(folder), { session_ref: null, reason: 'boom' })
})

test('words that make no sense are none', () => {
  for (const text of ['', '{', 'null', '[]']) {
    fs.writeFileSync(join(folder, 'last-words.json'), text)
    const words = takeLastWords(folder)
    assert.ok(words === null || words.session_ref === null)
    assert.equal(takeLastWords(folder), null)
  }
})
