import { DEFAULT_CONNECTION_CONFIG } from '@whiskeysockets/baileys'
import { within } from '../clock.js'
import { baileysLogger, safeError } from '../log.js'
import { CLOSED } from '../operations/failure.js'
import { ControlError } from './control-error.js'
import { PairingDriver } from './pairing-driver.js'
import { PairingFailed } from './pairing-failure.js'
import { receiptFromMember, receiptFromUpdate } from './messages.js'

/**
 * @typedef {import('./pairing-driver.js').Qr} Qr
 * @typedef {import('./pairing-driver.js').PairingCode} PairingCode
 * @typedef {{webSocketUrl: string, keepAliveMs: number, qrMs?: number, attemptMs?: number, version?: import('./web-version.js').Version}} SocketOptions
 *   qrMs: another life of QRs than WhatsApp Web's; attemptMs: another life of a pairing attempt, for tests
 *
 * @typedef {object} SocketEnd
 * @property {number | null} statusCode
 * @property {string} message
 * @property {string | null} conflictType
 * @property {number | null} banExpiresAt
 * @property {import('./pairing-failure.js').PairingFailureCode | null} pairingFailure that the pairing driver ended it for
 *
 * @typedef {object} Listener
 * @property {(qr: Qr) => void} qr
 * @property {(code: PairingCode) => void} code
 * @property {() => void} paired
 * @property {(pushName: string | null) => void} open
 * @property {() => void} credsUpdated
 * @property {(data: Record<string, unknown>) => void} receipt
 *
 * @typedef {object} Parts
 * @property {import('./incoming-messages.js').IncomingMessages} incoming
 * @property {import('./activity.js').Activity} activity
 * @property {typeof import('@whiskeysockets/baileys').makeWASocket} makeWASocket
 * @property {import('../clock.js').Clock} clock
 * @property {import('../log.js').Logger} log
 * @property {SocketOptions} options
 */

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
  /** @type {PairingDriver | null} null when the account is linked already */
  pairing
  /** @type {(end: SocketEnd) => void} */
  #end = () => {}
  #lastFrameAt = 0
  #cancelWatchdog = () => {}
  #cancelLoginLimit = () => {}
  #authState
  #sender
  #listener
  #clock
  #log
  #options
  #activity
  /** @type {any} */
  #sock

  /**
   * @param {import('../auth-state/auth-state.js').AuthState} authState
   * @param {import('./sender.js').Sender} sender
   * @param {Parts} parts
   * @param {Listener} listener
   */
  constructor(authState, sender, { makeWASocket, incoming, activity, clock, log, options }, listener) {
    this.#authState = authState
    this.#sender = sender
    this.#listener = listener
    this.#clock = clock
    this.#log = log
    this.#options = options
    this.#activity = activity
    /** @type {Promise<SocketEnd>} */
    this.ended = new Promise(resolve => { this.#end = resolve })
    const config = this.#config()
    this.#sock = makeWASocket(config)
    incoming.attach(this.#sock, authState)
    activity.attach(this.#sock)
    this.pairing = authState.isPaired ? null : this.#pairingDriver(config.browser)
    this.#listen()
    this.#limitLogin()
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
      logger: baileysLogger(this.#log),
      // Exactly one layer repeats writes: the client of the backup API.
      transactionOpts: { maxCommitRetries: 1, delayBetweenTriesMs: 0 },
      emitOwnEvents: false,
      // Baileys holds up all other messages for this long whenever it asks for one again.
      retryRequestDelayMs: RETRY_REQUEST_DELAY_MS,
      ...this.#activity.configFor(this.#options.webSocketUrl)
    })
  }

  /** @param {[string, string, string]} browser */
  #pairingDriver(browser) {
    const { qrMs, attemptMs } = this.#options
    const credsDurable = () => this.#authState.credsDurable()
    return new PairingDriver(this.#sock, { credsDurable, browser, clock: this.#clock, log: this.#log, qrMs, attemptMs }, {
      qr: qr => {
        this.#cancelLoginLimit()
        this.#listener.qr(qr)
      },
      code: code => this.#listener.code(code),
      paired: () => {
        this.#limitLogin()
        this.#listener.paired()
      }
    })
  }

  #listen() {
    const { ev, ws } = this.#sock
    this.#sender.attach(this.#sock)
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
  #onConnectionUpdate({ connection, lastDisconnect }) {
    // Baileys holds receipts and messages back until a login's backlog and a first history sync are through, up to
    // 20 s, and has told WhatsApp already that they arrived; what a crash then loses is gone. Here they go on at once.
    this.#flush()
    if (connection === 'open') {
      this.#cancelLoginLimit()
      this.#lastFrameAt = this.#clock.uptime()
      this.#watch()
      this.#listener.open(this.#authState.creds.me?.name ?? null)
    }
    if (connection === 'close') {
      this.#cancelWatchdog()
      this.#cancelLoginLimit()
      this.pairing?.stop()
      // Baileys forgets the queries that wait for an answer: they, and the sends behind them, would hang for 60 s.
      this.#sock.ws.emit('error', new Error(CLOSED))
      this.#end(endOf(lastDisconnect?.error, this.#clock.now()))
    }
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
 * @param {any} error a Boom, or why a pairing failed
 * @param {number} now
 * @returns {SocketEnd}
 */
export function endOf(error, now) {
  const data = error?.data
  const seconds = Number(data?.expire)
  return {
    statusCode: error?.output?.statusCode ?? null,
    message: String(error?.message ?? ''),
    pairingFailure: error instanceof PairingFailed ? error.code : null,
    conflictType: data?.tag === 'conflict' ? data.attrs?.type ?? null : null,
    banExpiresAt: data?.expire !== undefined && Number.isFinite(seconds) ? now + seconds * 1000 : null
  }
}
