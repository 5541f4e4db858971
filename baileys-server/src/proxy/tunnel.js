import { lookup } from 'node:dns'
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'

/**
 * A connection to a host through a proxy: HTTP's CONNECT, the same inside TLS, or SOCKS5. The proxy resolves the host's
 * name, so that nothing about it is asked from here.
 *
 * @typedef {'proxy_unreachable' | 'proxy_unauthorized' | 'proxy_refused' | 'proxy_forbidden'} ProxyFailureCode
 * @typedef {(address: string) => boolean} Permits whether a proxy at this address may be used
 */

const TIMEOUT_MS = 15_000
const MOST_HEADER_BYTES = 16_384
const DEFAULT_PORTS = /** @type {Record<string, number>} */ ({ 'http:': 80, 'https:': 443, 'socks5:': 1080 })
/** RFC 1928, section 6. */
const SOCKS_REFUSALS = ['', 'it failed', 'its rules forbid it', 'the network is out of reach', 'the host is out of reach', 'the host refused the connection', 'its time ran out']

/** Its message never names the proxy or its credentials, and begins with `PROXY_FAILED`. */
export class ProxyFailure extends Error {
  /** @param {ProxyFailureCode} code @param {string} message @param {unknown} [cause] */
  constructor(code, message, cause) {
    super(message, { cause })
    this.name = 'ProxyFailure'
    this.code = code
  }
}

export const PROXY_FAILED = 'The proxy'

/**
 * @param {URL} proxy `http:`, `https:` or `socks5:`, with credentials or without
 * @param {string} host
 * @param {number} port
 * @param {Permits} permits
 * @returns {Promise<net.Socket>}
 */
export async function openTunnel(proxy, host, port, permits) {
  const socket = dial(proxy, permits)
  const timer = setTimeout(() => socket.destroy(unreachable('it took too long')), TIMEOUT_MS)
  try {
    await once(socket, proxy.protocol === 'https:' ? 'secureConnect' : 'connect')
    await (proxy.protocol === 'socks5:' ? askSocks(socket, proxy, host, port) : askHttp(socket, proxy, host, port))
    return socket
  } catch (error) {
    socket.on('error', () => {}).destroy()
    throw error instanceof ProxyFailure ? error : unreachable(String(/** @type {any} */ (error).code ?? 'the connection ended'), error)
  } finally {
    clearTimeout(timer)
  }
}

/** @param {URL} proxy @param {Permits} permits */
function dial({ protocol, hostname, port }, permits) {
  const host = hostname.replace(/^\[(.*)\]$/, '$1')
  if (net.isIP(host) && !permits(host)) throw forbidden()
  const to = { host, port: Number(port) || DEFAULT_PORTS[protocol], lookup: permittedLookup(permits) }
  if (protocol !== 'https:') return net.connect(to)
  return tls.connect({ ...to, servername: net.isIP(host) ? undefined : host, ALPNProtocols: ['http/1.1'] })
}

/**
 * Names are judged where the socket connects: what one leads to may be another address a moment later.
 * @param {Permits} permits
 * @returns {import('node:net').LookupFunction}
 */
const permittedLookup = permits => (name, options, callback) => {
  lookup(name, { ...options, all: true }, (error, found) => {
    const permitted = error ? [] : found.filter(({ address }) => permits(address))
    const failure = error ?? (permitted.length === 0 ? forbidden() : null)
    if (failure || options.all) callback(failure, permitted)
    else callback(null, permitted[0].address, permitted[0].family)
  })
}

/** @param {net.Socket} socket @param {URL} proxy @param {string} host @param {number} port */
async function askHttp(socket, proxy, host, port) {
  const authority = `${net.isIPv6(host) ? `[${host}]` : host}:${port}`
  const authorization = proxy.username ? `Proxy-Authorization: Basic ${Buffer.from(credentials(proxy).join(':')).toString('base64')}\r\n` : ''
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${authorization}\r\n`)
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(await header(socket))?.[1])
  if (status === 407) throw unauthorized()
  if (!(status >= 200 && status < 300)) throw refusedBy(status ? `HTTP ${status}` : 'it speaks no HTTP')
}

/** @param {net.Socket} socket @param {URL} proxy @param {string} host @param {number} port */
async function askSocks(socket, proxy, host, port) {
  socket.write(Buffer.from(proxy.username ? [5, 2, 0, 2] : [5, 1, 0]))
  const [version, method] = await take(socket, 2)
  if (version !== 5) throw refusedBy('it speaks no SOCKS5')
  if (method === 2 && proxy.username) await authenticate(socket, proxy)
  else if (method !== 0) throw unauthorized()
  const name = Buffer.from(host)
  socket.write(Buffer.concat([Buffer.from([5, 1, 0, 3, name.length]), name, Buffer.from([port >> 8, port & 255])]))
  const [, refusal, , kind] = await take(socket, 4)
  if (refusal !== 0) throw refusedBy(SOCKS_REFUSALS[refusal] ?? `SOCKS ${refusal}`)
  // The address that it uses itself, which nobody needs.
  await take(socket, (kind === 3 ? (await take(socket, 1))[0] : kind === 4 ? 16 : 4) + 2)
}

/** RFC 1929. @param {net.Socket} socket @param {URL} proxy */
async function authenticate(socket, proxy) {
  const [user, password] = credentials(proxy).map(each => Buffer.from(each))
  socket.write(Buffer.concat([Buffer.from([1, user.length]), user, Buffer.from([password.length]), password]))
  const [, status] = await take(socket, 2)
  if (status !== 0) throw unauthorized()
}

/** @param {URL} proxy */
const credentials = ({ username, password }) => [username, password].map(decodeURIComponent)

/**
 * Exactly that many bytes; what follows them stays in the socket.
 * @param {net.Socket} socket
 * @param {number} length
 * @returns {Promise<Buffer>}
 */
async function take(socket, length) {
  for (;;) {
    const bytes = socket.read(length)
    if (bytes?.length === length) return bytes
    if (socket.readableEnded || socket.destroyed || bytes) throw unreachable('it ended the connection')
    await readable(socket)
  }
}

/** Up to the empty line. @param {net.Socket} socket */
async function header(socket) {
  let text = ''
  while (!text.endsWith('\r\n\r\n')) {
    if (text.length > MOST_HEADER_BYTES) throw refusedBy('its answer has no end')
    text += (await take(socket, 1)).toString('latin1')
  }
  return text
}

/** @param {net.Socket} socket @returns {Promise<void>} when there is more to read, or never will be */
function readable(socket) {
  return new Promise((resolve, reject) => {
    const done = (/** @type {unknown} */ error) => {
      for (const event of ['readable', 'end', 'close', 'error']) socket.off(event, done)
      if (error instanceof Error) reject(error)
      else resolve()
    }
    for (const event of ['readable', 'end', 'close', 'error']) socket.once(event, done)
  })
}

/** @param {string} why @param {unknown} [cause] */
const unreachable = (why, cause) => new ProxyFailure('proxy_unreachable', `${PROXY_FAILED} can't be reached (${why})`, cause)
const forbidden = () => new ProxyFailure('proxy_forbidden', `${PROXY_FAILED} is at a private, local or reserved address, which is not allowed here`)
const unauthorized = () => new ProxyFailure('proxy_unauthorized', `${PROXY_FAILED} refuses the credentials`)
/** @param {string} why */
const refusedBy = why => new ProxyFailure('proxy_refused', `${PROXY_FAILED} doesn't connect to WhatsApp (${why})`)
