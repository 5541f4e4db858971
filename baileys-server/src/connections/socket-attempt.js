import { DEFAULT_CONNECTION_CONFIG } from '@whiskeysockets/baileys'
import { within } from '../clock.js'
import { baileysLogger, safeError } from '../log.js'
import { answerPairSuccessWhenDurable } from './durable-pairing.js'
import { ControlError } from './control-error.js'
import { receiptFromMember, receiptFromUpdate } from './messages.js'

/**
 * @typedef {{qr: string, expires_at: number}} Qr
 * @typedef {{webSocketUrl: string, keepAliveMs: number, qrMs?: number, version?: import('./web-version.js').Version}} SocketOptions
 *   qrMs: another life of QRs, for tests
 * @typedef {{statusCode: number | null, message: string, conflictType: string | null, banExpiresAt: number | null}} SocketEnd
 *
 * @typedef {object} Listener
 * @property {(qr: Qr) => void} qr
 * @property {() => void} paired
 * @property {(pushName: string | null) => void} open
 * @property {() => void} credsUpdated
 * @property {(data: Record<string, unknown>) => void} receipt
 *
 * @typedef {object} Parts
 * @property {import('./incoming-messages.js').IncomingMessages} incoming
 * @property {typeof import('@whiskeysockets/baileys').makeWASocket} makeWASocket
 * @property {import('../clock.js').Clock} clock
 * @property {import('../log.js').Logger} log
 * @property {SocketOptions} options
 */

/** Baileys rotates the QR by a private timer: 60 s for the first, 20 s for each of the others. */
const FIRST_QR_MS = 60_000
const NEXT_QR_MS = 20_000
const RETRY_REQUEST_DELAY_MS = 20
/** ws waits 30 s for the other side's close frame, which a dead peer never sends. */
const CLOSE_MS = 1500
/** Baileys itself gives up a silent connection 5 s after a keep-alive interval. */
const SILENCE_MARGIN_MS = 7000

/**
 * From the creation of a socket to its first QR or its opening, and from a scan to WhatsApp's restart. Baileys' own
 * limits end when the noise handshake is over.
 */
export const LOGIN_LIMIT_MS = 60_000

/** One socket of Baileys, from its creation to its end. A new attempt makes a new one. */
export class SocketAttempt {
  /** @type {Qr | null} */
  qr = null
  /** @type {string | null} */
  pairingCode = null
  /** @type {(end: SocketEnd) => void} */
  #end = () => {}
  #lastFrameAt = 0
  /** @type {{phone: string, code: Promise<string>} | null} */
  #pairingRequest = null
  #cancelWatchdog = () => {}
  #cancelLoginLimit = () => {}
  #authState
  #sender
  #listener
  #clock
  #log
  #options
  /** @type {any} */
  #sock

  /**
   * @param {import('../auth-state/auth-state.js').AuthState} authState
   * @param {import('./sender.js').Sender} sender
   * @param {Parts} parts
   * @param {Listener} listener
   */
  constructor(authState, sender, { makeWASocket, incoming, clock, log, options }, listener) {
    this.#authState = authState
    this.#sender = sender
    this.#listener = listener
    this.#clock = clock
    this.#log = log
    this.#options = options
    /** @type {Promise<SocketEnd>} */
    this.ended = new Promise(resolve => { this.#end = resolve })
    this.#sock = makeWASocket(this.#config())
    incoming.attach(this.#sock, authState)
    this.#listen()
    this.#limitLogin()
  }

  /**
   * One after the other, because a new code makes the one before it worthless; asked again for the same phone, it is
   * the same code.
   * @param {string} phone
   * @returns {Promise<string>} as the phone shows it: ABCD-EFGH
   */
  requestPairingCode(phone) {
    const earlier = this.#pairingRequest
    if (earlier?.phone === phone) return earlier.code
    const code = (earlier?.code ?? Promise.resolve()).catch(() => {}).then(() => this.#requestPairingCode(phone))
    const request = { phone, code }
    this.#pairingRequest = request
    code.catch(() => { if (this.#pairingRequest === request) this.#pairingRequest = null })
    return code
  }

  /** @param {string} phone @returns {Promise<string>} */
  async #requestPairingCode(phone) {
    try {
      const code = await this.#sock.requestPairingCode(phone)
      this.pairingCode = `${code.slice(0, 4)}-${code.slice(4)}`
      return this.pairingCode
    } catch (error) {
      this.#log.warn(safeError(error), 'pairing_code_failed')
      throw new ControlError('not_pairing', 'WhatsApp ended the pairing attempt before it had a code.', { cause: error })
    }
  }

  async logout() {
    try {
      await this.#sock.logout()
    } catch (error) {
      throw new ControlError('session_not_open', 'The connection closed before WhatsApp was told.', { cause: error })
    }
    await this.ended
  }

  /** Returns when the socket is closed. */
  async close() {
    this.#flush()
    this.#sock.end(undefined)
    await within(this.#clock, CLOSE_MS, this.ended)
    this.#sock.ws.socket?.terminate()
    await within(this.#clock, CLOSE_MS, this.ended)
    this.#end(endOf(undefined, this.#clock.now()))
  }

  #config() {
    return /** @type {any} */ ({
      auth: this.#authState.forBaileys,
      makeSignalRepository: this.#authState.makeSignalRepository,
      getMessage: this.#sender.getMessage,
      waWebSocketUrl: this.#options.webSocketUrl,
      version: this.#options.version ?? DEFAULT_CONNECTION_CONFIG.version,
      keepAliveIntervalMs: this.#options.keepAliveMs,
      qrTimeout: this.#options.qrMs,
      logger: baileysLogger(this.#log),
      // Exactly one layer repeats writes: the client of the backup API.
      transactionOpts: { maxCommitRetries: 1, delayBetweenTriesMs: 0 },
      emitOwnEvents: false,
      // Baileys holds up all other messages for this long whenever it asks for one again.
      retryRequestDelayMs: RETRY_REQUEST_DELAY_MS,
      // Nobody reads old history here; what the first sync brings (LIDs, app state keys) comes without it.
      syncFullHistory: false
    })
  }

  #listen() {
    const { ev, ws } = this.#sock
    this.#sender.attach(this.#sock)
    answerPairSuccessWhenDurable(this.#sock, () => this.#authState.credsDurable())
    ev.on('creds.update', (/** @type {any} */ update) => {
      this.#authState.updateCreds(update)
      this.#listener.credsUpdated()
    })
    ev.on('connection.update', (/** @type {any} */ update) => this.#onConnectionUpdate(update))
    ev.on('messages.update', (/** @type {any[]} */ updates) => this.#onReceipts(updates, receiptFromUpdate))
    ev.on('message-receipt.update', (/** @type {any[]} */ updates) => this.#onReceipts(updates, receiptFromMember))
    ws.on('frame', () => { this.#lastFrameAt = this.#clock.uptime() })
    // ws ends a refused upgrade by itself only when nobody listens for it, and Baileys listens and does nothing. A plain
    // error without a status: what a proxy answered says nothing about the login.
    ws.on('unexpected-response', (/** @type {any} */ _request, /** @type {any} */ response) => {
      response.resume()
      this.#sock.end(new Error(`The upgrade was answered with HTTP ${response.statusCode}.`))
    })
  }

  /** @param {any} update */
  #onConnectionUpdate({ connection, lastDisconnect, qr, isNewLogin }) {
    // Baileys holds receipts and messages back until a login's backlog and a first history sync are through, up to
    // 20 s, and has told WhatsApp already that they arrived; what a crash then loses is gone. Here they go on at once.
    this.#flush()
    if (qr) this.#onQr(qr)
    if (isNewLogin) {
      this.qr = null
      this.#limitLogin()
      this.#listener.paired()
    }
    if (connection === 'open') {
      this.#cancelLoginLimit()
      this.#lastFrameAt = this.#clock.uptime()
      this.#watch()
      this.#listener.open(this.#authState.creds.me?.name ?? null)
    }
    if (connection === 'close') {
      this.#cancelWatchdog()
      this.#cancelLoginLimit()
      // Baileys forgets the queries that wait for an answer: they, and the sends behind them, would hang for 60 s.
      this.#sock.ws.emit('error', new Error('The connection is closed.'))
      this.#end(endOf(lastDisconnect?.error, this.#clock.now()))
    }
  }

  /** @param {string} qr */
  #onQr(qr) {
    this.#cancelLoginLimit()
    const livesMs = this.#options.qrMs ?? (this.qr ? NEXT_QR_MS : FIRST_QR_MS)
    this.qr = { qr, expires_at: this.#clock.now() + livesMs }
    this.#listener.qr(this.qr)
  }

  /**
   * @param {any[]} updates
   * @param {(update: any) => Record<string, any> | null} receiptFrom
   */
  #onReceipts(updates, receiptFrom) {
    for (const update of updates) {
      this.#guarded('receipt_not_reported', () => {
        const receipt = receiptFrom(update)
        if (receipt) this.#listener.receipt({ ...receipt, chat: this.#sender.chatOf(receipt.message_id) ?? receipt.chat })
      })
    }
  }

  #flush() {
    this.#guarded('flush_failed', () => this.#sock.ev.flush())
  }

  /**
   * One odd message must cost neither its neighbours nor the news that the connection ended.
   * @param {string} event
   * @param {() => void} work
   */
  #guarded(event, work) {
    try {
      work()
    } catch (error) {
      this.#log.error(safeError(error), event)
    }
  }

  /** A peer that stays silent must not hold a start slot for ever. */
  #limitLogin() {
    this.#cancelLoginLimit()
    this.#cancelLoginLimit = this.#clock.after(LOGIN_LIMIT_MS, () => {
      this.#log.warn({}, 'login_not_in_time')
      this.#sock.end(new Error('WhatsApp did not finish the login in time.'))
      this.#sock.ws.socket?.terminate()
    })
  }

  /**
   * Open but deaf, in either direction. Baileys ends a connection on which nothing comes in, but then waits for the dead
   * peer's close frame. That nothing of what goes out arrives, while the server still answers keep-alives, it doesn't
   * notice: WhatsApp acknowledges a message in less than a second.
   */
  #watch() {
    const silenceMs = this.#options.keepAliveMs + SILENCE_MARGIN_MS
    const check = () => {
      const now = this.#clock.uptime()
      const silent = now - this.#lastFrameAt >= silenceMs
      if (silent || this.#sender.longestUnacknowledgedMs(now) >= silenceMs) {
        this.#log.warn({ direction: silent ? 'in' : 'out' }, 'socket_is_deaf')
        this.#sock.ws.socket?.terminate()
      } else {
        this.#cancelWatchdog = this.#clock.after(1000, check)
      }
    }
    this.#cancelWatchdog = this.#clock.after(1000, check)
  }
}

/**
 * @param {any} error a Boom
 * @param {number} now
 * @returns {SocketEnd}
 */
export function endOf(error, now) {
  const data = error?.data
  const seconds = Number(data?.expire)
  return {
    statusCode: error?.output?.statusCode ?? null,
    message: String(error?.message ?? ''),
    conflictType: data?.tag === 'conflict' ? data.attrs?.type ?? null : null,
    banExpiresAt: data?.expire !== undefined && Number.isFinite(seconds) ? now + seconds * 1000 : null
  }
}
