import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { AddressRules, parsedNetwork } from '../../src/proxy/address-rules.js'
import { ProxyRoute } from '../../src/proxy/route.js'
import { openTunnel } from '../../src/proxy/tunnel.js'
import { selfSigned } from '../fake-whatsapp/self-signed.js'
import { LoopbackProxy } from '../support/proxy.js'

/** Everything that Baileys opens, through both kinds of proxies. */

let server, port, open, closed

before(async () => {
  server = http.createServer((request, response) => {
    request.resume()
    response.end(`${request.method} ${request.url}`)
  })
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  port = server.address().port
  open = await LoopbackProxy.start()
  closed = await LoopbackProxy.start({ user: 'loja', password: 'se:nha@1' })
})

after(async () => {
  server.closeAllConnections()
  server.close()
  await Promise.all([open.close(), closed.close()])
})

/** A colon would end the name in HTTP's basic credentials, so only the name may not have one. */
const CREDENTIALS = 'loja:se%3Anha%401'

for (const scheme of ['http', 'socks5']) {
  test(`${scheme}: a download by fetch and a request of node:http go through it`, async () => {
    const before = closed.tunnels.length
    const used = new ProxyRoute(closed.url(scheme, CREDENTIALS), 'ws://whatsapp', () => true)
    const downloaded = await fetch(`http://localhost:${port}/media`, /** @type {any} */ ({ dispatcher: used.dispatcher }))
    assert.equal(await downloaded.text(), 'GET /media')
    const uploaded = await new Promise((resolve, reject) => {
      const request = http.request({ hostname: 'localhost', port, path: '/upload', method: 'POST', agent: used.agent }, response => {
        response.setEncoding('utf8').once('data', resolve)
      })
      request.on('error', reject).end('photo')
    })
    assert.equal(uploaded, 'POST /upload')
    assert.deepEqual(closed.tunnels.slice(before), [`localhost:${port}`, `localhost:${port}`], 'by name: the proxy resolves it')
    used.close()
  })

  test(`${scheme}: what is wrong is named, and never with the credentials`, async () => {
    const failure = async (proxy, host = '127.0.0.1', to = port) => openTunnel(new URL(proxy), host, to, () => true).then(() => null, error => error)
    const wrong = await failure(closed.url(scheme, 'loja:errada'))
    assert.deepEqual([wrong.code, wrong.message], ['proxy_unauthorized', 'The proxy refuses the credentials'])
    assert.equal((await failure(closed.url(scheme))).code, 'proxy_unauthorized')
    const nobody = net.createServer()
    await new Promise(resolve => nobody.listen(0, '127.0.0.1', resolve))
    const { port: free } = /** @type {net.AddressInfo} */ (nobody.address())
    await new Promise(resolve => nobody.close(resolve))
    assert.deepEqual(String(await failure(`${scheme}://loja:errada@127.0.0.1:${free}`)), "ProxyFailure: The proxy can't be reached (ECONNREFUSED)")
    assert.equal((await failure(open.url(scheme), '127.0.0.1', free)).code, 'proxy_unreachable')
    const strange = scheme === 'http' ? `http://127.0.0.1:${port}` : `socks5://127.0.0.1:${port}`
    // A server of HTTP that is no proxy hangs up on CONNECT.
    assert.equal((await failure(strange)).code, scheme === 'http' ? 'proxy_unreachable' : 'proxy_refused')
  })
}

test('a proxy at an address that is not public is used only where the operator allows it', async () => {
  const asked = []
  const failure = async proxy => openTunnel(new URL(proxy), '127.0.0.1', port, address => { asked.push(address); return false }).then(() => null, error => error)
  for (const proxy of [open.url('http'), open.url('http').replace('127.0.0.1', 'localhost')]) assert.equal((await failure(proxy)).code, 'proxy_forbidden')
  assert.ok(asked.includes('127.0.0.1'))
  const permits = (address, allowed = []) => new AddressRules(allowed).permits(address)
  for (const address of ['8.8.8.8', '::ffff:8.8.8.8', '64:ff9b::808:808', '2606:4700::1111']) assert.equal(permits(address), true, address)
  for (const address of ['127.0.0.1', '10.1.2.3', '169.254.169.254', '100.64.0.1', '224.0.0.1', '::', '::1', 'fd00::1', 'fe80::1%eth0', '::ffff:127.0.0.1',
    '0:0:0:0:0:ffff:7f00:1', '64:ff9b::7f00:1', '::7f00:1', '2002:7f00:1::', 'localhost', '']) assert.equal(permits(address), false, address)
  const allowed = [parsedNetwork('127.0.0.0/8'), parsedNetwork('fd00::1')]
  assert.deepEqual(['127.0.0.1', '::ffff:127.0.0.1', 'fd00::1', 'fd00::2'].map(address => permits(address, allowed)), [true, true, true, false])
  assert.deepEqual(['10.0.0.0/33', 'x', '10.0.0.0/', ''].map(parsedNetwork), [null, null, null, null])
})

test('https: a proxy inside TLS, which must have a certificate that is trusted', async () => {
  const certificate = selfSigned()
  const secure = await LoopbackProxy.start({ user: 'loja', password: 'senha' }, certificate)
  const folder = mkdtempSync(join(tmpdir(), 'proxy-'))
  writeFileSync(join(folder, 'ca.pem'), certificate.cert)
  try {
    const url = secure.url('https', 'loja:senha')
    assert.equal((await openTunnel(new URL(url), '127.0.0.1', port, () => true).catch(error => error)).code, 'proxy_unreachable')
    // Whom Node trusts is decided at its start.
    const script = `
      const { ProxyRoute } = await import(${JSON.stringify(new URL('../../src/proxy/route.js', import.meta.url).href)})
      const route = new ProxyRoute(${JSON.stringify(url)}, 'ws://whatsapp', () => true)
      const answer = await fetch('http://127.0.0.1:${port}/media', { dispatcher: route.dispatcher })
      process.stdout.write(await answer.text())
      route.close()`
    const env = { PATH: process.env.PATH, NODE_EXTRA_CA_CERTS: join(folder, 'ca.pem') }
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { env })
    assert.equal(stdout, 'GET /media')
    assert.deepEqual(secure.tunnels, [`127.0.0.1:${port}`])
  } finally {
    await secure.close()
    rmSync(folder, { recursive: true })
  }
})
