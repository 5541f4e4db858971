import assert from 'node:assert/strict'
import http from 'node:http'
import net from 'node:net'
import { after, before, test } from 'node:test'
import { ProxyRoute } from '../../src/proxy/route.js'
import { openTunnel } from '../../src/proxy/tunnel.js'
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
    const used = new ProxyRoute(closed.url(scheme, CREDENTIALS), 'ws://whatsapp')
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
    const failure = async (proxy, host = '127.0.0.1', to = port) => openTunnel(new URL(proxy), host, to).then(() => null, error => error)
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
