import { randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import {
  buildPairingQRData,
  configureSuccessfulPairing,
  getBinaryNodeChild,
  getBinaryNodeChildBuffer,
  getBinaryNodeChildren,
  S_WHATSAPP_NET
} from '@whiskeysockets/baileys'
import { safeError } from '../log.js'
import { ControlError } from './control-error.js'
import { PairingFailed } from './pairing-failure.js'

/**
 * Links one socket to a phone. The unmodified Baileys shows a QR code and signs the account in; what it leaves out since
 * WhatsApp changed the procedure in 2026 is done here, from outside: another secret when the server asks for one,
 * acknowledgements before there is an account, and an end with a name for whatever goes wrong.
 *
 * @typedef {{qr: string, expires_at: number, rotated: boolean}} Qr
 *   rotated: in the place of one that WhatsApp took back; who scanned that one must scan again
 * @typedef {{pairing_code: string, expires_at: number}} PairingCode
 *
 * @typedef {object} Listener
 * @property {(qr: Qr) => void} qr
 * @property {(code: PairingCode) => void} code
 * @property {() => void} paired the account is durable, and WhatsApp is being told
 *
 * @typedef {object} Parts
 * @property {() => Promise<void>} credsDurable
 * @property {import('../clock.js').Clock} clock
 * @property {import('../log.js').Logger} log
 * @property {[string, string, string]} browser that the socket says it is
 * @property {number} [qrMs] another life of QRs than WhatsApp Web's; the first one has three of them
 * @property {number} [attemptMs] another life of the attempt, for tests
 * @property {string} [baileysVersion] another than the installed one, for tests
 */

/** As WhatsApp Web does: 60 s for the first QR, 20 s for each of the others. */
const QR_MS = 20_000
const FIRST_QR_TIMES = 3
/** WhatsApp closes a socket that hasn't logged in 210 s after its connect. */
const ATTEMPT_MS = 200_000
const CODE_ANSWER_MS = 10_000
/** Asked for again within that time, a code stays the same: the person is typing it. */
const CODE_SETTLED_MS = 60_000
/** New codes that a phone gets when WhatsApp takes one back. */
const CODE_REFRESHES = 3

const PAIR_DEVICE = 'CB:iq,type:set,pair-device'
const PAIR_SUCCESS = 'CB:iq,,pair-success'
const REG_REFRESH = 'CB:notification,type:companion_reg_refresh'
const LINK_CODE = 'CB:notification,type:link_code_companion_reg'
const REFRESH_TAGS = ['companion_reg_refresh', 'pair-device-rotate-qr']

/** The versions of Baileys that take no notice of companion_reg_refresh, or acknowledge nothing before login. */
const LEAVING_IT_OUT = new Set(['7.0.0-rc14'])
const INSTALLED = createRequire(import.meta.url)('@whiskeysockets/baileys/package.json').version

export class PairingDriver {
  /** @type {Qr | null} */
  qr = null
  /** @type {PairingCode | null} */
  code = null
  /** @type {string[]} that are left of those the server gave */
  #refs = []
  /** @type {string | null} that the QR shows */
  #ref = null
  /** @type {{phone: string, at: number, code: Promise<PairingCode>} | null} */
  #request = null
  #codeRefreshes = 0
  /** The phone has taken the code: the secret is what both sides derived, not ours to change. */
  #derivingSecret = false
  #secretRotated = false
  #over = false
  #cancelQr = () => {}
  #cancelAttempt = () => {}
  #abandonCode = (/** @type {Error} */ _reason) => {}
  #sock
  #parts
  #listener
  #endsAt

  /**
   * @param {any} sock Baileys' socket, made just now
   * @param {Parts} parts
   * @param {Listener} listener
   */
  constructor(sock, parts, listener) {
    this.#sock = sock
    this.#parts = parts
    this.#listener = listener
    const { clock, attemptMs = ATTEMPT_MS } = parts
    this.#endsAt = clock.now() + attemptMs
    this.#cancelAttempt = clock.after(attemptMs, () => this.#fail('timed_out', 'Nobody linked a phone in time.'))
    const { ws } = sock
    ws.removeAllListeners(PAIR_SUCCESS)
    ws.on(PAIR_SUCCESS, (/** @type {any} */ stanza) => this.#onPairSuccess(stanza))
    const drives = !this.#stepsAside
    ws.on('CB:notification', (/** @type {any} */ node) => this.#guarded(() => this.#onNotification(node, drives)))
    ws.on(LINK_CODE, (/** @type {any} */ node) => this.#onLinkCode(node))
    ws.on('CB:iq,type:error', (/** @type {any} */ node) => this.#onRefusedQuery(node))
    if (drives) this.#takeOver()
    else sock.ev.on('connection.update', (/** @type {any} */ { qr }) => qr && this.#show(qr, clock.now() + this.#nextLifeMs))
  }

  /**
   * One after the other, because a new code makes the one before it worthless.
   * @param {string} phone digits
   * @returns {Promise<PairingCode>} as the phone shows it, ABCD-EFGH, once WhatsApp accepted it
   */
  requestCode(phone) {
    const { clock } = this.#parts
    const earlier = this.#request
    if (earlier?.phone === phone && clock.uptime() - earlier.at < CODE_SETTLED_MS) return earlier.code
    const code = (earlier?.code ?? Promise.resolve()).catch(() => {}).then(() => this.#askForCode(phone))
    const request = { phone, at: clock.uptime(), code }
    this.#request = request
    code.catch(() => { if (this.#request === request) this.#request = null })
    return code
  }

  /** The socket is closed, or the account is linked: nothing that belongs to the attempt goes on. */
  stop() {
    this.#over = true
    this.#cancelQr()
    this.#cancelAttempt()
    this.#abandonCode(new Error('The pairing attempt is over.'))
    this.qr = null
    this.code = null
  }

  get #stepsAside() {
    const { baileysVersion = INSTALLED } = this.#parts
    return !LEAVING_IT_OUT.has(baileysVersion) || this.#sock.ws.listenerCount(REG_REFRESH) > 0
  }

  get #creds() {
    return this.#sock.authState.creds
  }

  #takeOver() {
    const { ws } = this.#sock
    ws.removeAllListeners(PAIR_DEVICE)
    ws.on(PAIR_DEVICE, (/** @type {any} */ stanza) => this.#guarded(() => this.#onPairDevice(stanza)))
    ws.on(REG_REFRESH, (/** @type {any} */ node) => this.#onRefresh(node))
  }

  /** @param {any} stanza */
  async #onPairDevice(stanza) {
    const refs = getBinaryNodeChildren(getBinaryNodeChild(stanza, 'pair-device'), 'ref')
    this.#refs = refs.map(({ content }) => Buffer.from(/** @type {Uint8Array} */ (content)).toString())
    await this.#sock.sendNode({ tag: 'iq', attrs: { to: S_WHATSAPP_NET, type: 'result', id: stanza.attrs.id } })
    this.#nextQr()
  }

  #nextQr() {
    if (this.#over) return
    const ref = this.#refs.shift()
    if (ref !== undefined) {
      const lifeMs = this.#nextLifeMs
      this.#ref = ref
      this.#render(this.#parts.clock.now() + lifeMs)
      this.#cancelQr = this.#parts.clock.after(lifeMs, () => this.#nextQr())
    } else if (this.code) {
      // A code is typed, not scanned: it goes on until the server closes the socket.
      this.qr = null
    } else {
      this.#fail('timed_out', 'No phone scanned a QR code in time.')
    }
  }

  get #nextLifeMs() {
    return (this.#parts.qrMs ?? QR_MS) * (this.qr ? 1 : FIRST_QR_TIMES)
  }

  /** @param {number} expiresAt @param {boolean} [rotated] */
  #render(expiresAt, rotated = false) {
    const { noiseKey, signedIdentityKey, advSecretKey } = this.#creds
    const base64 = (/** @type {Uint8Array} */ key) => Buffer.from(key).toString('base64')
    const ref = /** @type {string} */ (this.#ref)
    // The secret as it is now: Baileys' own copy would be the first one for ever.
    this.#show(buildPairingQRData(ref, base64(noiseKey.public), base64(signedIdentityKey.public), advSecretKey, this.#parts.browser), expiresAt, rotated)
  }

  /** @param {string} qr @param {number} expiresAt @param {boolean} [rotated] */
  #show(qr, expiresAt, rotated = false) {
    this.qr = { qr, expires_at: expiresAt, rotated }
    this.#listener.qr(this.qr)
  }

  /**
   * WhatsApp wants another secret than the one that the QR shows (since 2026-07-28), often right after a scan. WhatsApp
   * Web makes one, and draws the present ref anew without going on to the next.
   * @param {any} node
   */
  #onRefresh(node) {
    if (!REFRESH_TAGS.some(tag => getBinaryNodeChild(node, tag))) return
    if (this.#over || this.#creds.account || this.#derivingSecret) return
    this.#secretRotated = true
    this.#creds.advSecretKey = randomBytes(32).toString('base64')
    this.#parts.log.info({}, 'pairing_secret_rotated')
    if (this.qr && this.#ref) this.#render(this.qr.expires_at, true)
  }

  /** @param {any} node @param {boolean} acknowledges Baileys does it as the account that it is: as long as it is none, not at all */
  async #onNotification({ attrs }, acknowledges) {
    if (this.#over) return
    if (acknowledges && !this.#creds.me) {
      await this.#sock.sendNode({ tag: 'ack', attrs: { class: 'notification', id: attrs.id, to: attrs.from, type: attrs.type } })
    }
    if (attrs.type === 'passkey_prologue_request') this.#fail('passkey_required', 'WhatsApp asks for a passkey.')
  }

  /**
   * Baileys answers the phone's half of a code; when that half lacks its key it throws, and nothing ever happens.
   * @param {any} node
   */
  #onLinkCode(node) {
    if (this.#over) return
    const request = getBinaryNodeChild(node, 'link_code_companion_reg')
    if (request?.attrs.stage === 'refresh_code') return this.#refreshCode()
    if (getBinaryNodeChildBuffer(request, 'link_code_pairing_wrapped_primary_ephemeral_pub')) this.#derivingSecret = true
    else this.#fail('code_not_supported', 'The phone answered the code without its key.')
  }

  /** WhatsApp takes the code back: it was typed wrong, or the phone could not open what it was sent. */
  #refreshCode() {
    const request = this.#request
    if (!request) return
    if (this.#codeRefreshes++ >= CODE_REFRESHES) return this.#fail('code_refused', 'WhatsApp took the code back again and again.')
    this.#derivingSecret = false
    this.#parts.log.info({}, 'pairing_code_taken_back')
    this.#request = null
    this.requestCode(request.phone).catch(() => {})
  }

  /** @param {string} phone @returns {Promise<PairingCode>} */
  async #askForCode(phone) {
    const answered = this.#codeAnswer()
    try {
      if (this.#over) throw new Error('The attempt is over.')
      const code = await this.#sock.requestPairingCode(phone)
      await answered.promise
      this.code = { pairing_code: `${code.slice(0, 4)}-${code.slice(4)}`, expires_at: this.#endsAt }
      this.#listener.code(this.code)
      return this.code
    } catch (error) {
      this.#parts.log.warn(safeError(error), 'pairing_code_failed')
      if (!(error instanceof PairingFailed)) throw new ControlError('not_pairing', 'WhatsApp ended the pairing attempt before it had a code.', { cause: error })
      // The registration names the phone by now, which a scan of the QR beside it would contradict.
      this.#end(error)
      throw new ControlError(error.code === 'code_rate_limited' ? 'pairing_code_rate_limited' : 'pairing_code_refused', error.message)
    } finally {
      answered.cancel()
    }
  }

  /** Baileys sends the request and doesn't look at the answer, which may be a refusal. */
  #codeAnswer() {
    const { ws } = this.#sock
    let cancel = () => {}
    /** @type {Promise<void>} */
    const promise = new Promise((resolve, reject) => {
      const onResult = () => resolve()
      const onError = (/** @type {any} */ node) => reject(codeRefusal(node))
      const late = new PairingFailed('code_refused', 'WhatsApp did not answer the request for a code.')
      const cancelTimer = this.#parts.clock.after(CODE_ANSWER_MS, () => reject(late))
      this.#abandonCode = reject
      ws.on('CB:iq,type:result,link_code_companion_reg', onResult)
      ws.on('CB:iq,type:error', onError)
      cancel = () => {
        cancelTimer()
        ws.off('CB:iq,type:result,link_code_companion_reg', onResult)
        ws.off('CB:iq,type:error', onError)
      }
    })
    promise.catch(() => {})
    return { promise, cancel }
  }

  /** After the phone took the code, the only query is the one with our half, and Baileys doesn't read its answer. @param {any} node */
  #onRefusedQuery(node) {
    if (!this.#derivingSecret || this.#over) return
    const { code, text } = errorOf(node)
    if (isDeviceLimit(text)) this.#fail('too_many_devices', `WhatsApp refused the link: ${text}.`)
    else this.#fail('refused_by_phone', `WhatsApp refused the link (${code}).`)
  }

  /**
   * Baileys answers at once and writes the creds afterwards: a crash in between leaves a device on the phone that nobody
   * holds the keys of. Here the answer waits until the creds are durable; when they can't be made durable there is no
   * answer, so the phone says that linking failed, which is the truth.
   * @param {any} stanza
   */
  async #onPairSuccess(stanza) {
    const sock = this.#sock
    let pairing
    try {
      sock.updateServerTimeOffset(stanza)
      pairing = configureSuccessfulPairing(stanza, this.#creds)
    } catch (error) {
      return await this.#refuseSignature(stanza, /** @type {Error} */ (error))
    }
    this.#cancelQr()
    try {
      sock.ev.emit('creds.update', pairing.creds)
      await this.#parts.credsDurable()
    } catch (error) {
      return this.#end(new PairingFailed('not_stored', 'The linked account could not be stored.', { cause: error }))
    }
    this.stop()
    this.#listener.paired()
    await sock.sendNode(pairing.reply).catch((/** @type {Error} */ error) => sock.end(error))
  }

  /** @param {any} stanza @param {Error} error */
  async #refuseSignature(stanza, error) {
    this.#parts.log.warn({ ...safeError(error), secret_rotated: this.#secretRotated }, 'pairing_signature_refused')
    // As WhatsApp Web answers: the phone says at once that it failed, instead of waiting.
    await this.#guarded(() => this.#sock.sendNode({
      tag: 'iq',
      attrs: { to: S_WHATSAPP_NET, type: 'error', id: stanza.attrs.id },
      content: [{ tag: 'error', attrs: { code: '401', text: 'hmac-mismatch' } }]
    }))
    this.#fail('secret_rotated', 'The phone used a QR code that was taken back.')
  }

  /** @param {import('./pairing-failure.js').PairingFailureCode} code @param {string} message */
  #fail(code, message) {
    this.#end(new PairingFailed(code, message))
  }

  /** @param {PairingFailed} failure */
  #end(failure) {
    if (this.#over) return
    this.stop()
    this.#sock.end(failure)
  }

  /** What can't be sent is sent to nobody: the socket's end, which follows, tells. @param {() => Promise<void>} work */
  async #guarded(work) {
    try {
      await work()
    } catch (error) {
      this.#parts.log.warn(safeError(error), 'pairing_step_failed')
    }
  }
}

/** @param {any} node an IQ of type error */
function errorOf(node) {
  const { code, text } = getBinaryNodeChild(node, 'error')?.attrs ?? {}
  return { code: code ?? 'no code', text: text ?? '' }
}

/** @param {any} node */
function codeRefusal(node) {
  const { code, text } = errorOf(node)
  if (code === '429') return new PairingFailed('code_rate_limited', 'WhatsApp was asked for too many codes.')
  if (isDeviceLimit(text)) return new PairingFailed('too_many_devices', `WhatsApp refused the code: ${text}.`)
  return new PairingFailed('code_refused', `WhatsApp refused the code (${code}).`)
}

/** No source shows how WhatsApp says it, if it tells anybody but the phone; its other errors are named like this. @param {string} text */
function isDeviceLimit(text) {
  return /device.*limit|limit.*device/.test(text)
}
