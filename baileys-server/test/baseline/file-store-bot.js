/**
 * The baseline that the kill tests compare with: Baileys' own file store, in one process that keeps its disk.
 *
 *     WHATSAPP_WEB_URL=ws://... WHATSAPP_ROOT_KEY=... node file-store-bot.js FOLDER
 *
 * Prints `{"url": ...}` when its control API listens: `GET /state` -> `{state, qr}`, `POST /send {to, text}` ->
 * `{message_id}` or 409. It is what a careful user of Baileys writes; nothing of this project is in it.
 */
import '../../src/silence-console.js'
import { createServer } from 'node:http'
import makeWASocket, {
  DisconnectReason,
  WA_CERT_DETAILS,
  makeCacheableSignalKeyStore,
  useMultiFileAuthState,
} from '@whiskeysockets/baileys'
import pino from 'pino'

const folder = process.argv[2] ?? '.'
const logger = /** @type {any} */ (pino({ level: 'silent' }))
const sent = new Map()
const bot = { state: 'connecting', qr: /** @type {string | null} */ (null), socket: /** @type {any} */ (null) }

if (process.env.WHATSAPP_ROOT_KEY) {
  // The type says readonly; Baileys reads it at each handshake.
  Object.assign(WA_CERT_DETAILS, { PUBLIC_KEY: Buffer.from(process.env.WHATSAPP_ROOT_KEY, 'hex') })
}

async function connect() {
  const { state, saveCreds } = await useMultiFileAuthState(folder)
  const socket = makeWASocket({
    auth: { creds: state.creds, keys: makeCacheableSignalKeyStore(state.keys, logger) },
    waWebSocketUrl: process.env.WHATSAPP_WEB_URL,
    logger,
    getMessage: async key => sent.get(key.id),
  })
  bot.socket = socket
  socket.ev.on('creds.update', saveCreds)
  socket.ev.on('connection.update', update => {
    if (update.qr) bot.qr = update.qr
    if (update.connection) bot.state = update.connection
    if (update.connection !== 'close') return
    const code = /** @type {any} */ (update.lastDisconnect?.error)?.output?.statusCode
    if (code !== DisconnectReason.loggedOut) setTimeout(connect, code === DisconnectReason.restartRequired ? 0 : 500)
  })
}

/** @param {{to: string, text: string}} body */
async function send({ to, text }) {
  if (bot.state !== 'open') return [409, {}]
  const message = await bot.socket.sendMessage(to, { text })
  sent.set(message.key.id, message.message)
  return [200, { message_id: message.key.id }]
}

const server = createServer(async (request, response) => {
  const chunks = []
  for await (const chunk of request) chunks.push(chunk)
  let answer
  try {
    answer =
      request.url === '/send' ? await send(JSON.parse(Buffer.concat(chunks).toString())) : [200, { state: bot.state, qr: bot.qr }]
  } catch {
    answer = [502, {}]
  }
  response.writeHead(/** @type {number} */ (answer[0]), { 'content-type': 'application/json' })
  response.end(JSON.stringify(answer[1]))
})

server.listen(0, '127.0.0.1', () => {
  const address = /** @type {import('node:net').AddressInfo} */ (server.address())
  process.stdout.write(JSON.stringify({ url: `http://127.0.0.1:${address.port}` }) + '\n')
})
await connect()
