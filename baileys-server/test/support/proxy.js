import net from 'node:net'
import tls from 'node:tls'

/**
 * Test equipment: a proxy on loopback that speaks SOCKS5 and HTTP's CONNECT on one port, counts what goes through it, and
 * may demand credentials.
 */
export class LoopbackProxy {
  /** Where it was asked to connect to: `host:port`. @type {string[]} */
  tunnels = []
  /** Callers that had no credentials or the wrong ones. */
  refused = 0
  /** @type {(to: string) => void} */
  onTunnel = () => {}
  onRefused = () => {}
  /** Bytes from the callers. */
  bytes = 0
  /** @type {Set<net.Socket>} */
  #sockets = new Set()

  /**
   * @param {{user: string, password: string} | null} [credentials]
   * @param {{key: string, cert: string} | null} [certificate] inside TLS then
   */
  static async start(credentials = null, certificate = null) {
    const proxy = new LoopbackProxy()
    proxy.credentials = credentials
    const serve = (/** @type {net.Socket} */ socket) => {
      proxy.#track(socket)
      proxy.#serve(socket).catch(() => socket.destroy())
    }
    proxy.server = certificate ? tls.createServer(certificate, serve) : net.createServer(serve)
    await new Promise(resolve => proxy.server.listen(0, '127.0.0.1', resolve))
    return proxy
  }

  /** @param {'http' | 'https' | 'socks5'} scheme @param {string} [credentials] `user:password` */
  url(scheme, credentials) {
    const { port } = /** @type {net.AddressInfo} */ (this.server.address())
    return `${scheme}://${credentials ? `${credentials}@` : ''}127.0.0.1:${port}`
  }

  async close() {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise(resolve => this.server.close(resolve))
  }

  /** @param {net.Socket} socket */
  #track(socket) {
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => this.#sockets.delete(socket))
  }

  /** @param {net.Socket} socket */
  async #serve(socket) {
    const [first] = await take(socket, 1)
    const target = await (first === 5 ? this.#socks(socket) : this.#http(socket, String.fromCharCode(first)))
    if (!target) return socket.end()
    this.tunnels.push(`${target.host}:${target.port}`)
    this.onTunnel(`${target.host}:${target.port}`)
    const upstream = net.connect(target)
    this.#track(upstream)
    await new Promise((resolve, reject) => upstream.once('connect', resolve).once('error', reject))
    socket.write(target.ready)
    socket.on('data', data => { this.bytes += data.length })
    socket.pipe(upstream).pipe(socket)
    for (const [one, other] of [[socket, upstream], [upstream, socket]]) one.on('close', () => other.destroy())
  }

  /** @param {net.Socket} socket */
  async #socks(socket) {
    const [count] = await take(socket, 1)
    const methods = [...await take(socket, count)]
    const method = this.credentials ? 2 : 0
    if (!methods.includes(method)) return this.#refuse(socket, Buffer.from([5, 0xff]))
    socket.write(Buffer.from([5, method]))
    if (method === 2) {
      const [, userLength] = await take(socket, 2)
      const user = (await take(socket, userLength)).toString()
      const password = (await take(socket, (await take(socket, 1))[0])).toString()
      if (!this.#knows(user, password)) return this.#refuse(socket, Buffer.from([1, 1]))
      socket.write(Buffer.from([1, 0]))
    }
    await take(socket, 4)
    const host = (await take(socket, (await take(socket, 1))[0])).toString()
    const port = (await take(socket, 2)).readUInt16BE()
    return { host, port, ready: Buffer.from([5, 0, 0, 1, 127, 0, 0, 1, 0, 0]) }
  }

  /** @param {net.Socket} socket @param {string} text */
  async #http(socket, text) {
    while (!text.endsWith('\r\n\r\n')) text += (await take(socket, 1)).toString()
    const [, host, port] = /^CONNECT (.*):(\d+) HTTP/.exec(text) ?? []
    const given = Buffer.from(/Proxy-Authorization: Basic (.*)\r\n/i.exec(text)?.[1] ?? '', 'base64').toString()
    if (this.credentials && !this.#knows(given.split(':')[0], given.slice(given.indexOf(':') + 1))) return this.#refuse(socket, Buffer.from('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n'))
    return { host, port: Number(port), ready: Buffer.from('HTTP/1.1 200 Connection established\r\n\r\n') }
  }

  /** @param {string} user @param {string} password */
  #knows(user, password) {
    return user === this.credentials.user && password === this.credentials.password
  }

  /** @param {net.Socket} socket @param {Buffer} answer */
  #refuse(socket, answer) {
    this.refused++
    this.onRefused()
    socket.write(answer)
    return null
  }
}

/** @param {net.Socket} socket @param {number} length */
async function take(socket, length) {
  for (;;) {
    const bytes = socket.read(length)
    if (bytes?.length === length) return bytes
    if (socket.destroyed || socket.readableEnded) throw new Error('ended')
    await new Promise(resolve => {
      for (const event of ['readable', 'end', 'close']) socket.once(event, resolve)
    })
  }
}
