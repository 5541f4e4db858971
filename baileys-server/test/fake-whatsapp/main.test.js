import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { get, linked, post } from './client.js'

const MAIN = fileURLToPath(new URL('main.js', import.meta.url))

/** @param {string[]} options */
async function started(...options) {
  const child = spawn(process.execPath, [MAIN, ...options], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(child.stdout, 'data')
  return { child, ready: JSON.parse(String(line)) }
}

test('as a process it says where it listens, works, prints nothing else and ends at once on SIGTERM', async () => {
  const { child, ready } = await started('--socket-grace-ms', '500')
  assert.match(ready.ws_url, /^ws:\/\/127\.0\.0\.1:\d+\/ws\/chat$/)
  assert.match(ready.root_key, /^[0-9a-f]{64}$/)
  let noise = ''
  child.stdout.on('data', chunk => (noise += chunk))
  const server = /** @type {any} */ ({ wsUrl: ready.ws_url, controlUrl: ready.control_url, rootKey: ready.root_key })
  const client = await linked(server, '5511960000001')
  const contact = await post(server, '/contacts')
  await client.send(contact.jid, 'hello')
  assert.equal((await get(server, '/idle')).idle, true)
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  assert.deepEqual(await exited, [0, null])
  assert.equal(await client.closed(), 428)
  assert.equal(noise, '')
})
