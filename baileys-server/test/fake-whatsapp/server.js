/** The fake WhatsApp: a websocket that Baileys connects to, and an HTTP port to control it. */
import './quiet.js'
import http from 'node:http'
import { Curve } from '@whiskeysockets/baileys'
import { WebSocketServer } from 'ws'
import { Connection } from './connection.js'
import { ControlApi } from './control-api.js'
import { CertificateAuthority, NoiseResponder } from './noise-responder.js'
import { Traffic } from './traffic.js'
import { World } from './world.js'

const LOOPBACK = '127.0.0.1'

/**
 * @typedef {object} FakeWhatsApp
 * @property {string} wsUrl for Baileys' `waWebSocketUrl`
 * @property {string} controlUrl
 * @property {string} rootKey hex; for Baileys' `WA_CERT_DETAILS.PUBLIC_KEY`
 * @property {string} mediaCertificate PEM; for NODE_EXTRA_CA_CERTS of whoever uses the media host
 * @property {World} world the state itself, for tests in the same process
 * @property {() => Promise<void>} close
 */

/**
 * @param {{port?: number, controlPort?: number} & Partial<import('./world.js').Options>} [options]
 * @returns {Promise<FakeWhatsApp>}
 */
export async function startFakeWhatsApp({ port = 0, controlPort = 0, ...options } = {}) {
  const world = new World(options)
  const traffic = new Traffic(world)
  const api = new ControlApi(world, traffic)
  const authority = new CertificateAuthority()
  const staticKey = Curve.generateKeyPair()
  const web = http.createServer((request, response) => servePage(world, request, response))
  const sockets = new WebSocketServer({ server: web, path: '/ws/chat' })
  web.listen(port, LOOPBACK)
  sockets.on('connection', (/** @type {import('ws').WebSocket} */ socket) => {
    if (world.failures.take('refuse_connection', undefined)) socket.terminate()
    else new Connection(world, socket, new NoiseResponder(authority, staticKey))
  })
  const control = http.createServer((request, response) => void api.handle(request, response))
  control.listen(controlPort, LOOPBACK)
  const media = world.media.listen()
  await Promise.all([once(web, 'listening'), once(control, 'listening'), once(media, 'listening')])
  return {
    wsUrl: `ws://${LOOPBACK}:${portOf(web)}/ws/chat`,
    controlUrl: `http://${LOOPBACK}:${portOf(control)}`,
    rootKey: Buffer.from(authority.root.public).toString('hex'),
    mediaCertificate: world.media.certificate,
    world,
    close: () => close(world, traffic, sockets, [web, control, media]),
  }
}

/**
 * @param {World} world
 * @param {Traffic} traffic
 * @param {WebSocketServer} sockets
 * @param {Array<http.Server | import('node:https').Server>} servers
 */
async function close(world, traffic, sockets, servers) {
  traffic.stopAll()
  world.end()
  const gone = Promise.all([sockets, ...servers].map(server => once(server, 'close')))
  sockets.close()
  for (const server of servers) {
    server.close()
    server.closeAllConnections()
  }
  await gone
}

/**
 * What a browser would load beside the websocket; of all that only the revision of the client in `sw.js`.
 * @param {World} world
 * @param {http.IncomingMessage} request
 * @param {http.ServerResponse} response
 */
function servePage(world, request, response) {
  if (request.url !== '/sw.js') return response.writeHead(404).end()
  const revision = JSON.stringify(JSON.stringify({ client_revision: world.clientRevision }))
  response.writeHead(200, { 'content-type': 'text/javascript' }).end(`self.__swData=JSON.parse(${revision});`)
}

/** @param {{address(): any}} listener */
const portOf = listener => listener.address().port

/**
 * @param {import('node:events').EventEmitter} emitter
 * @param {string} event
 */
function once(emitter, event) {
  return new Promise((resolve, reject) => {
    emitter.once(event, resolve)
    emitter.once('error', reject)
  })
}
