import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import tls from 'node:tls'
import { Agent as Dispatcher } from 'undici'
import { openTunnel } from './tunnel.js'

/** @typedef {(host: string, port: number) => Promise<net.Socket>} Open */

/**
 * How a session's connections reach WhatsApp: everything that Baileys opens, or nothing, goes through the proxy.
 *
 * - `agent`: its websocket
 * - `fetchAgent`: uploads of media, which it makes with node:https
 * - `dispatcher`: downloads of media, history and app state, which it makes with fetch
 */
export class ProxyRoute {
  /**
   * @param {string} proxy its URL
   * @param {string} webSocketUrl
   * @param {import('./tunnel.js').Permits} permits
   */
  constructor(proxy, webSocketUrl, permits) {
    const url = new URL(proxy)
    /** @type {Open} */
    const open = (host, port) => openTunnel(url, host, port, permits)
    this.fetchAgent = new SecureTunnels(open)
    this.agent = webSocketUrl.startsWith('wss:') ? this.fetchAgent : new Tunnels(open)
    this.dispatcher = new Dispatcher({
      connect: ({ hostname, port, protocol, servername }, callback) => {
        const secure = protocol === 'https:'
        const opened = open(hostname, Number(port) || (secure ? 443 : 80))
        opened.then(socket => secure ? secured(socket, servername || hostname) : /** @type {any} */ (socket))
          .then(socket => callback(null, socket), error => callback(error, null))
      }
    })
  }

  /** Ends what idles in it; a new socket gets a new route. */
  close() {
    this.agent.destroy()
    this.fetchAgent.destroy()
    this.dispatcher.destroy().catch(() => {})
  }
}

class Tunnels extends http.Agent {
  /** @param {Open} open */
  constructor(open) {
    super()
    this.open = open
  }

  /** @param {any} options @param {any} callback @returns {any} */
  createConnection(options, callback) {
    this.open(options.host, Number(options.port)).then(socket => callback(null, socket), callback)
  }
}

class SecureTunnels extends https.Agent {
  /** @param {Open} open */
  constructor(open) {
    super()
    this.open = open
  }

  /** @param {any} options @param {any} callback @returns {any} */
  createConnection(options, callback) {
    this.open(options.host, Number(options.port))
      .then(socket => secured(socket, options.servername || options.host))
      .then(socket => callback(null, socket), callback)
  }
}

/**
 * @param {net.Socket} socket
 * @param {string} host
 * @returns {Promise<tls.TLSSocket>}
 */
function secured(socket, host) {
  return new Promise((resolve, reject) => {
    const secure = tls.connect({ socket, servername: net.isIP(host) ? undefined : host, ALPNProtocols: ['http/1.1'] })
    secure.once('error', reject)
    secure.once('secureConnect', () => {
      secure.off('error', reject)
      resolve(secure)
    })
  })
}
