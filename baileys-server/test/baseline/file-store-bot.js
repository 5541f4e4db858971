/**
 * The baseline that the kill tests compare with: Baileys' own file store, in one process that keeps its disk.
 *
 *     WHATSAPP_WEB_URL=ws://... WHATSAPP_ROOT_KEY=... PORT=0 node file-store-bot.js FOLDER SESSION...
 *
 * Prints `{"url": ...}` when it listens, and speaks as much of the product's API as the tests need, plus `DELETE /told` ->
 * `{acknowledged: [message ids], received: [texts]}`: what Baileys told since the last time. Each session has a folder of
 * its own in FOLDER. It is what a careful user of Baileys writes; nothing of this project's way to keep a state is in it.
 */
import '../../src/silence-console.js'
import { createServer } from 'node:http'
import { join } from 'node:path'
import makeWASocket, {
  DisconnectReason,
  WA_CERT_DETAILS,
  makeCacheableSignalKeyStore,
  proto,
  useMultiFileAuthState,
} from '@whiskeysockets/baileys'
import pino from 'pino'

const [folder = '.', ...names] = process.argv.slice(2)
const logger = /** @type {any} */ (pino({ level: 'silent' }))
const told = { acknowledged: /** @type {string[]} */ ([]), received: /** @type {string[]} */ ([]) }

if (process.env.WHATSAPP_ROOT_KEY) {
  // The type says readonly; Baileys reads it at each handshake.
  Object.assign(WA_CERT_DETAILS, { PUBLIC_KEY: Buffer.from(process.env.WHATSAPP_ROOT_KEY, 'hex') })
}

class Session {
  state = 'connecting'
  qr = /** @type {string | null} */ (null)
  openedAt = /** @type {string | null} */ (null)
  socket = /** @type {any} */ (null)
  sent = new Map()

  /** @param {string} name */
  constructor(name) {
    this.name = name
  }

  async connect() {
    const { state, saveCreds } = await useMultiFileAuthState(join(folder, this.name))
    const socket = makeWASocket({
      auth: { creds: state.creds, keys: makeCacheableSignalKeyStore(state.keys, logger) },
      waWebSocketUrl: process.env.WHATSAPP_WEB_URL,
      logger,
      getMessage: async key => this.sent.get(key.id),
    })
    this.socket = socket
    socket.ev.on('creds.update', saveCreds)
    socket.ev.on('connection.update', update => this.#onConnection(update))
    socket.ev.on('messages.update', updates => {
      const acknowledged = updates.filter(({ key, update }) => key.fromMe && (update.status ?? 0) >= proto.WebMessageInfo.Status.SERVER_ACK)
      told.acknowledged.push(...acknowledged.map(({ key }) => key.id ?? ''))
    })
    socket.ev.on('messages.upsert', ({ messages }) => {
      const texts = messages.map(({ message }) => message?.conversation ?? message?.extendedTextMessage?.text)
      told.received.push(...texts.filter(text => typeof text === 'string'))
    })
  }

  /** @param {Partial<import('@whiskeysockets/baileys').ConnectionState>} update */
  #onConnection(update) {
    if (update.qr) this.qr = update.qr
    if (update.connection) this.state = update.connection
    if (update.connection === 'open') this.openedAt = new Date().toISOString()
    if (update.connection !== 'close') return
    const code = /** @type {any} */ (update.lastDisconnect?.error)?.output?.statusCode
    if (code !== DisconnectReason.loggedOut) setTimeout(() => this.connect(), code === DisconnectReason.restartRequired ? 0 : 500)
  }

  /** @param {{to: string, text: string}} body */
  async send({ to, text }) {
    if (this.state !== 'open') return [409, { code: 'session_not_open' }]
    const message = await this.socket.sendMessage(to, { text })
    this.sent.set(message.key.id, message.message)
    return [201, { message_id: message.key.id }]
  }

  describe() {
    return { session_id: this.name, connection_state: this.state, last_open_at: this.openedAt }
  }
}

const sessions = new Map(names.map(name => [name, new Session(name)]))

/** @param {string} method @param {string} path @param {() => Promise<any>} body */
async function answer(method, path, body) {
  if (path === '/readyz') return [200, {}]
  if (path === '/told' && method === 'DELETE') return [200, { acknowledged: told.acknowledged.splice(0), received: told.received.splice(0) }]
  if (path === '/v1/sessions') return [200, { sessions: [...sessions.values()].map(session => session.describe()) }]
  const [, , , name = '', what] = path.split('/')
  const session = sessions.get(name)
  if (!session) return [404, {}]
  if (what === 'messages') return session.send(await body())
  return session.qr ? [200, { qr: session.qr }] : [409, { code: 'qr_not_ready' }]
}

const server = createServer(async (request, response) => {
  const read = async () => {
    const chunks = []
    for await (const chunk of request) chunks.push(chunk)
    return JSON.parse(Buffer.concat(chunks).toString())
  }
  let [status, body] = [502, {}]
  try {
    ;[status, body] = /** @type {[number, object]} */ (await answer(request.method ?? '', (request.url ?? '').split('?')[0] ?? '', read))
  } catch {
    // A send that failed; Baileys' errors say nothing that a caller could use.
  }
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
})

server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  const address = /** @type {import('node:net').AddressInfo} */ (server.address())
  process.stdout.write(JSON.stringify({ url: `http://127.0.0.1:${address.port}` }) + '\n')
})
await Promise.all([...sessions.values()].map(session => session.connect()))
