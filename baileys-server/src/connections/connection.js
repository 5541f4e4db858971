import { makeWASocket } from '@whiskeysockets/baileys'
import { sleep, within } from '../clock.js'
import { masked, safeError } from '../log.js'
import { AuthState } from '../auth-state/auth-state.js'
import { UnusableCreds } from '../auth-state/restore-check.js'
import { mustStop } from '../auth-state/batch.js'
import { VerificationBackup } from '../auth-state/verification.js'
import { Activity } from './activity.js'
import { backOffMs, decideAfterDisconnect } from './disconnect-policy.js'
import { IncomingMessages } from './incoming-messages.js'
import { SocketAttempt } from './socket-attempt.js'
import { Sender } from './sender.js'
import { Polls } from '../messages/polls.js'
import { DEFAULT_SETTINGS, needsNewSocket } from './session-settings.js'
import { ControlError } from './control-error.js'

/**
 * @typedef {'starting' | 'pairing' | 'connecting' | 'open' | 'waiting_retry' | 'conflict' | 'paused' | 'quarantined' | 'stopped'} State
 * @typedef {import('./session-settings.js').SessionSettings} SessionSettings
 * @typedef {{sessionRef: number, sessionId: string, generation: number, epoch: number, settings?: SessionSettings}} Session
 *
 * @typedef {object} Parts
 * @property {import('../orchestrator/creds-loader.js').CredsLoader} credsLoader
 * @property {import('../orchestrator/session-backup.js').SessionBackup} backup
 * @property {(type: string, data: Record<string, unknown>) => void} report adds an event of this session
 * @property {import('./directory.js').Note} noteDirectory
 * @property {import('../proxy/tunnel.js').Permits} permitsProxyAt
 * @property {import('../auth-state/journal.js').Journal | null} journal
 * @property {import('./start-slots.js').StartSlots} startSlots
 * @property {import('./web-version.js').WebVersion} webVersion
 * @property {import('../messages/media.js').Media} media
 * @property {import('../clock.js').Clock} clock
 * @property {() => number} random
 * @property {import('../log.js').Logger} log
 * @property {{socket: import('./socket-attempt.js').SocketOptions, verification: import('../auth-state/verification.js').Timing,
 *   writeRetries: number}} options
 */

const SENDS_DRAIN_MS = 5000
const WRITES_DRAIN_MS = 4000
/** Between two starts, so that hundreds of them don't ask for everything in the same moment. */
const START_JITTER_MS = 50
/** A connection that was open this long proves that its successor starts with a short back-off. */
const PROVEN_OPEN_MS = 30_000
/** Replaced again after this long is a new incident, not a ping-pong with another program. */
const REPLACEMENT_FORGOTTEN_MS = 600_000
const NEVER_CONNECTED = { statusCode: null, message: '', pairingFailure: null, conflictType: null, banExpiresAt: null }
/** States in which nothing happens until somebody outside decides. */
const PARKED = /** @type {const} */ ({ conflict: 'conflict', pause: 'paused' })

/**
 * One session under one lease: loads its auth state, keeps a socket open, and decides what follows when it closes.
 *
 *   starting -> pairing -> connecting -> open          the ordinary life; a stored auth state skips pairing
 *   starting -> waiting_retry                          the auth state is unknown: never a QR
 *   open | connecting | pairing -> waiting_retry       reconnects, see disconnect-policy.js
 *   ... -> paused | conflict                           waits for time, or for somebody outside
 *   ... -> quarantined | stopped                       over
 */
export class Connection {
  /** @type {State} */
  #state = 'starting'
  /** @type {string | null} */
  #reason = null
  #stopping = new AbortController()
  /** @type {AuthState | null} */
  #authState = null
  /** @type {VerificationBackup | null} */
  #verification = null
  /** @type {SocketAttempt | null} */
  #attempt = null
  /** @type {Sender | null} */
  #sender = null
  /** @type {Promise<void>} */
  #ended = Promise.resolve()
  /** @type {Promise<void> | null} */
  #stopped = null
  #failedAttempts = 0
  #openedAt = 0
  #consecutiveUnauthorized = 0
  #retriedReplaced = false
  /** @type {import('./web-version.js').Version} that the last socket announced */
  #version
  /** @type {string | null} why the stored creds were refused, which is told once */
  #refusedBecause = null
  /** @type {string | null} what is wrong with the proxy, which is told once */
  #proxyFailure = null
  /** @type {number | null} */
  #restartRequiredAt = null
  /** @type {number | null} when this pairing began; null when the account is linked */
  #pairingSince = null
  #pairingRetries = 0
  #polls = new Polls()
  /** Whether the socket ends because another one is to take its place. */
  #renewing = false
  #parts
  #log
  #incoming
  #activity

  /**
   * @param {Session} session
   * @param {Parts} parts
   */
  constructor(session, parts) {
    this.session = session
    this.#parts = parts
    this.#version = parts.webVersion.current
    this.#log = parts.log.child({ session_id: session.sessionId, session_ref: session.sessionRef, epoch: session.epoch })
    this.#activity = new Activity(session.settings ?? DEFAULT_SETTINGS, {
      note: parts.noteDirectory, permitsProxyAt: parts.permitsProxyAt, report: parts.report, send: message => this.send(message), clock: parts.clock, log: this.#log
    })
    this.#incoming = new IncomingMessages(this.#log, this.#polls, this.#activity.wants)
  }

  /**
   * Starts after the predecessor has closed its socket.
   * @param {Promise<unknown>} [predecessor]
   */
  start(predecessor = Promise.resolve()) {
    this.#ended = predecessor.then(() => this.#run()).catch(error => {
      this.#log.error(safeError(error), 'connection_failed_unexpectedly')
      this.#enter('stopped', 'An unexpected error ended the connection.')
    })
  }

  get state() {
    return this.#state
  }

  /** For `GET /v1/sessions`. */
  describe() {
    const { sessionRef, sessionId, generation, epoch } = this.session
    const pairing = this.#state === 'pairing' ? this.#attempt?.pairing : null
    return {
      session_ref: sessionRef,
      session_id: sessionId,
      generation,
      epoch,
      state: this.#state,
      reason: this.#reason,
      degraded: this.#authState?.degraded ?? false,
      jid: this.#jid,
      qr: pairing?.qr ?? null,
      pairing_code: pairing?.code ?? null
    }
  }

  /**
   * @param {import('../messages/content.js').OutgoingMessage} message
   * @returns {Promise<{message_id: string, to: string}>} after it was written to WhatsApp's socket
   */
  send(message) {
    return this.#openSender().send(message)
  }

  /**
   * @param {import('../messages/content.js').OutgoingMessage} message
   * @returns {Promise<{message_id: string, to: string, acknowledged: boolean}>} see `Sender.sendOnce`
   */
  sendOnce(message) {
    return this.#openSender().sendOnce(message)
  }

  /**
   * The media of a message, as a stream.
   * @param {import('@whiskeysockets/baileys').proto.IMessage} message
   * @param {AbortSignal} signal
   */
  download(message, signal) {
    return this.#openSender().download(message, { signal, dispatcher: this.#activity.dispatcher })
  }

  #openSender() {
    if (this.#state !== 'open' || !this.#sender || this.#stopping.signal.aborted) {
      throw new ControlError('session_not_open', `The session is ${this.#state}.`)
    }
    return this.#sender
  }

  /**
   * @param {(context: import('../operations/perform.js').Context) => Promise<object>} operation
   * @returns {Promise<object>}
   */
  perform(operation) {
    const performing = this.#state === 'open' && !this.#stopping.signal.aborted ? this.#activity.perform(operation) : null
    if (!performing) throw new ControlError('session_not_open', `The session is ${this.#state}.`)
    return performing
  }

  /**
   * @param {SessionSettings} settings
   * @returns {Promise<boolean>} whether a new socket takes the present one's place for it
   */
  async applySettings(settings) {
    const renew = needsNewSocket(this.#activity.settings, settings, Boolean(this.#authState?.isPaired))
    await this.#activity.apply(settings).catch(error => this.#log.warn(safeError(error), 'settings_not_told'))
    if (renew) await this.#renewSocket()
    return renew
  }

  /** @param {string} phone digits @returns {Promise<import('./pairing-driver.js').PairingCode>} */
  async requestPairingCode(phone) {
    if (this.#authState?.isPaired) throw new ControlError('already_paired', 'This session is linked to a phone.')
    if (this.#state !== 'pairing' || !this.#attempt?.pairing) {
      throw new ControlError('not_pairing', `The session is not waiting for a phone; the state is ${this.#state}.`)
    }
    return await this.#attempt.pairing.requestCode(phone)
  }

  /** Unlinks the device. Returns after WhatsApp was told and the socket is closed. */
  async logout() {
    if (this.#state !== 'open' || !this.#attempt) throw new ControlError('session_not_open', `The session is ${this.#state}.`)
    await this.#attempt.logout()
    await this.#ended
  }

  /** No more sends; the connection stays. */
  refuseSends() {
    this.#sender?.refuse()
  }

  /** Returns after the socket is closed and the writes are done. */
  stop(reason = 'Stopped on request.') {
    this.#stopped ??= this.#stop(reason)
    return this.#stopped
  }

  get #jid() {
    return this.#authState?.isPaired ? this.#authState.creds.me?.id ?? null : null
  }

  /** The lease and the auth state stay. What is being sent is sent; what comes in meanwhile waits at WhatsApp. */
  async #renewSocket() {
    const attempt = this.#attempt
    if (!attempt || this.#stopping.signal.aborted) return
    this.#renewing = true
    this.#enter('connecting', 'The settings changed; the connection is opened anew.')
    if (this.#sender) await within(this.#parts.clock, SENDS_DRAIN_MS, this.#sender.idle())
    await attempt.close()
  }

  /** @param {string} reason */
  async #stop(reason) {
    if (this.#stopping.signal.aborted) return this.#ended
    this.#sender?.refuse()
    if (this.#sender) await within(this.#parts.clock, SENDS_DRAIN_MS, this.#sender.idle())
    this.#stopping.abort()
    await this.#attempt?.close()
    await this.#ended
    await this.#drainWrites()
    this.#discardAuthState(reason)
    if (this.#state !== 'quarantined') this.#enter('stopped', reason)
  }

  async #run() {
    while (!this.#stopping.signal.aborted) {
      if (!this.#authState && !(await this.#load())) continue
      const disconnect = await this.#connect()
      if (this.#stopping.signal.aborted) return
      if (disconnect === NEVER_CONNECTED) continue
      if (this.#renewing) {
        this.#renewing = false
        await this.#beforeReconnect(0)
        continue
      }
      const decision = await this.#decide(disconnect)
      if (decision.proxy) this.#alertProxy(decision.proxy)
      this.#log.info({ action: decision.action, code: disconnect.statusCode, delay_ms: decision.delayMs }, 'disconnected')
      if (await this.#isOverAfter(decision, disconnect.statusCode)) return
    }
  }

  /** @returns {Promise<boolean>} false: unknown, after a pause; only a proven absence may mint an identity */
  async #load() {
    try {
      const loaded = await unlessAborted(this.#parts.credsLoader.load(this.session), this.#stopping.signal)
      if (!loaded) return false
      const parts = this.#authStateParts()
      this.#authState = loaded.outcome === 'found' ? AuthState.restored(loaded, parts) : AuthState.fresh(parts)
      this.#log.info({ outcome: loaded.outcome }, 'auth_state_loaded')
      return true
    } catch (error) {
      await this.#authStateIsUnknown(/** @type {Error} */ (error))
      return false
    }
  }

  /**
   * The keys, once it is this session's turn.
   * @param {AuthState} authState
   * @param {() => void} releaseSlot
   * @returns {Promise<boolean>} false: unknown, after a pause
   */
  async #wake(authState, releaseSlot) {
    const { clock, random } = this.#parts
    const { signal } = this.#stopping
    try {
      await sleep(clock, random() * START_JITTER_MS, signal)
      const missing = await unlessAborted(authState.wake(), signal)
      this.#refusedBecause = null
      if (missing && missing.length > 0) this.#alertIncomplete(missing)
      return !signal.aborted
    } catch (error) {
      releaseSlot()
      if (error instanceof UnusableCreds) this.#discardAuthState(error.message)
      await this.#authStateIsUnknown(/** @type {Error} */ (error))
      return false
    }
  }

  /** Nothing is concluded from it; after a pause it is tried again. @param {Error} error */
  async #authStateIsUnknown(error) {
    if (mustStop(error)) return this.#onStoreClosed(error)
    const { clock, random } = this.#parts
    const delayMs = backOffMs(this.#failedAttempts++, random())
    this.#log.warn({ ...safeError(error), delay_ms: delayMs }, 'auth_state_unknown')
    if (error instanceof UnusableCreds) this.#alertRefused(error.message)
    this.#enter('waiting_retry', `The stored auth state could not be loaded: ${error.message} Nothing is paired meanwhile.`)
    await sleep(clock, delayMs, this.#stopping.signal)
  }

  /** @param {string} reason */
  #alertRefused(reason) {
    if (this.#refusedBecause === reason) return
    this.#refusedBecause = reason
    this.#parts.report('session.alert', { alert: 'restore_refused', reason })
  }

  /** @param {string[]} missing */
  #alertIncomplete(missing) {
    this.#log.error({ missing }, 'restore_incomplete')
    const reason = `The stored auth state lacks what WhatsApp or the phone must send anew: ${missing.join(', ')}. The connection opens nevertheless.`
    this.#parts.report('session.alert', { alert: 'restore_incomplete', missing, reason })
  }

  /** @param {string} reason */
  #alertProxy(reason) {
    if (this.#proxyFailure === reason) return
    this.#proxyFailure = reason
    this.#parts.report('session.alert', { alert: 'proxy_failed', reason })
  }

  /** One socket, from its creation to its end. @returns {Promise<import('./socket-attempt.js').SocketEnd>} */
  async #connect() {
    const { clock, options, startSlots, backup, media } = this.#parts
    const authState = /** @type {AuthState} */ (this.#authState)
    const releaseSlot = await startSlots.take(this.#stopping.signal)
    try {
      if (this.#stopping.signal.aborted || !(await this.#wake(authState, releaseSlot))) return NEVER_CONNECTED
      if (this.#state !== 'connecting') this.#enter('connecting', null)
      this.#pairingSince = authState.isPaired ? null : this.#pairingSince ?? clock.uptime()
      const sender = new Sender({ authState, backup, media, clock, log: this.#log, report: this.#parts.report })
      this.#version = this.#parts.webVersion.current
      const socketOptions = { ...options.socket, version: this.#version }
      const attempt = new SocketAttempt(authState, sender, { makeWASocket, incoming: this.#incoming, activity: this.#activity, clock, log: this.#log, options: socketOptions }, {
        qr: qr => this.#onQr(qr, releaseSlot),
        code: code => this.#parts.report('pairing.code', { ...code }),
        paired: () => this.#enter('connecting', 'Linked; WhatsApp asks for a restart of the connection.'),
        open: pushName => { releaseSlot(); this.#onOpen(pushName) },
        credsUpdated: () => this.#verification?.credsUpdated(),
        receipt: data => this.#parts.report('message.receipt', data)
      })
      this.#attempt = attempt
      this.#sender = sender
      return await attempt.ended
    } finally {
      releaseSlot()
      this.#verification?.stop()
      this.#verification = null
      this.#activity.detach()
      this.#attempt = null
      this.#sender?.end()
      this.#sender = null
    }
  }

  /** @param {import('./socket-attempt.js').SocketEnd} end */
  async #decide(end) {
    const { clock, random } = this.#parts
    const now = clock.uptime()
    const openMs = this.#state === 'open' ? now - this.#openedAt : 0
    if (openMs >= PROVEN_OPEN_MS) this.#failedAttempts = 0
    if (openMs >= REPLACEMENT_FORGOTTEN_MS) this.#retriedReplaced = false
    const decision = decideAfterDisconnect({
      ...end,
      paired: Boolean(this.#authState?.isPaired),
      neverLoggedIn: Boolean(this.#authState?.neverLoggedIn),
      pairingRetries: this.#pairingRetries,
      pairingMs: this.#pairingSince === null ? 0 : now - this.#pairingSince,
      attempt: this.#failedAttempts,
      millisecondsSinceRestartRequired: this.#restartRequiredAt === null ? null : now - this.#restartRequiredAt,
      consecutiveUnauthorized: this.#consecutiveUnauthorized,
      leaseHeld: end.statusCode === 440 ? await this.#isLeaseHeld() : 'unknown',
      retriedReplaced: this.#retriedReplaced,
      newerVersion: end.statusCode === 405 && await this.#parts.webVersion.newerThan(this.#version),
      now: clock.now(),
      random: random()
    })
    if (end.statusCode === 515) this.#restartRequiredAt = now
    else this.#failedAttempts += 1
    if (decision.doubtful) this.#consecutiveUnauthorized += 1
    if (decision.replaced) this.#retriedReplaced = true
    if (decision.failure) this.#pairingFailed(decision.failure, decision)
    return decision
  }

  /**
   * @param {import('./pairing-failure.js').PairingFailureCode} code
   * @param {import('./disconnect-policy.js').Decision} decision
   */
  #pairingFailed(code, { action, reason }) {
    this.#pairingRetries += 1
    this.#parts.report('pairing.failed', { code, reason, retrying: action !== 'stop_pairing' })
  }

  /**
   * @param {import('./disconnect-policy.js').Decision} decision
   * @param {number | null} code
   * @returns {Promise<boolean>}
   */
  async #isOverAfter({ action, delayMs, reason }, code) {
    switch (action) {
      case 'quarantine':
        return this.#over('quarantined', reason, code)
      case 'stop':
        return this.#over('stopped', reason, code)
      case 'stop_pairing':
        return this.#over('stopped', reason, code)
      case 'conflict':
      case 'pause':
        this.#enter(PARKED[action], reason, code)
        await unlessAborted(new Promise(() => {}), this.#stopping.signal)
        return true
      case 'wait':
        this.#enter('paused', reason, code)
        break
      default:
        this.#enter(delayMs > 0 ? 'waiting_retry' : 'connecting', reason, code)
    }
    await this.#beforeReconnect(delayMs)
    return false
  }

  /** @param {number} delayMs */
  async #beforeReconnect(delayMs) {
    if (this.#authState?.isPaired) {
      // WhatsApp knows this identity already: it must be durable before it is used again.
      await unlessAborted(this.#authState.credsDurable().catch(() => {}), this.#stopping.signal)
    } else {
      // What belongs to a failed pairing attempt is of no use to the next: load again, start from a fresh identity.
      this.#discardAuthState('The pairing attempt is over.')
    }
    await sleep(this.#parts.clock, delayMs, this.#stopping.signal)
  }

  /** @param {'quarantined' | 'stopped'} state @param {string} reason @param {number | null} code */
  async #over(state, reason, code) {
    await this.#drainWrites()
    this.#enter(state, reason, code)
    this.#discardAuthState(reason)
    this.#stopping.abort()
    return true
  }

  /** The lease is lost, or what is stored can't be opened: close the socket, don't reconnect. */
  #onStoreClosed = (/** @type {Error} */ error) => {
    if (this.#stopping.signal.aborted) return
    this.#log.error(safeError(error), 'session_must_stop')
    this.#stopping.abort()
    this.#discardAuthState(error.message)
    this.#enter('stopped', error.message)
    this.#attempt?.close()
  }

  /** @returns {import('../auth-state/auth-state.js').Parts} */
  #authStateParts() {
    const { backup, clock, journal, options } = this.#parts
    return {
      store: backup,
      journal: journal?.part(this.session, this.#onJournalFilling) ?? null,
      writeRetries: options.writeRetries,
      clock,
      onClosed: this.#onStoreClosed,
      onDegraded: this.#onDegraded,
      onLost: error => this.#log.error(safeError(error), 'write_not_kept'),
      messageIn: this.#incoming.messageIn,
      polls: this.#polls
    }
  }

  #onJournalFilling = (/** @type {{bytes: number, limit: number}} */ filling) => {
    const reason = 'Half of the space for writes that wait for the database is used; when it is full, messages fail.'
    this.#parts.report('session.alert', { alert: 'journal_filling', reason, ...filling })
  }

  #onDegraded = (/** @type {boolean} */ degraded, /** @type {string | null} */ reason) => {
    this.#log[degraded ? 'error' : 'info']({ degraded, reason: masked(reason) }, 'session_degraded')
    this.#parts.report('session.degraded', { degraded, reason })
  }

  /** @param {import('./pairing-driver.js').Qr} qr @param {() => void} releaseSlot */
  #onQr(qr, releaseSlot) {
    releaseSlot()
    if (this.#state !== 'pairing') this.#enter('pairing', null)
    this.#parts.report('pairing.qr', { ...qr })
  }

  /** @param {string | null} pushName */
  #onOpen(pushName) {
    const { backup, clock, options } = this.#parts
    this.#openedAt = clock.uptime()
    this.#proxyFailure = null
    this.#consecutiveUnauthorized = 0
    this.#enter('open', null, null, pushName)
    this.#verification = new VerificationBackup({
      authState: /** @type {AuthState} */ (this.#authState),
      verify: digests => backup.verify(digests, { signal: this.#stopping.signal }),
      clock,
      timing: options.verification,
      onVerified: ({ keys, repaired }) => this.#onVerified(keys, repaired),
      onFailed: error => mustStop(error)
        ? this.#onStoreClosed(/** @type {Error} */ (error))
        : this.#log.warn(safeError(error), 'verification_failed')
    })
    this.#verification.start()
  }

  /** @param {number} keys @param {{creds: boolean, keys: number}} repaired */
  #onVerified(keys, repaired) {
    const different = repaired.creds || repaired.keys > 0
    this.#log[different ? 'error' : 'debug']({ keys, repaired }, different ? 'auth_state_repaired' : 'auth_state_verified')
    this.#parts.report('session.verified', { keys, repaired })
  }

  async #isLeaseHeld() {
    try {
      return await unlessAborted(this.#parts.backup.isLeaseHeld(), this.#stopping.signal) ?? 'unknown'
    } catch (error) {
      return mustStop(error) ? false : 'unknown'
    }
  }

  async #drainWrites() {
    if (!this.#authState?.isPaired) return
    const written = await within(this.#parts.clock, WRITES_DRAIN_MS, this.#authState.durable().then(() => true, () => false))
    if (!written) this.#log.error({}, 'closed_with_unwritten_changes')
  }

  /** @param {string} reason */
  #discardAuthState(reason) {
    this.#authState?.close(new Error(reason))
    this.#authState = null
  }

  /**
   * @param {State} state
   * @param {string | null} reason
   * @param {number | null} [code]
   * @param {string | null} [pushName]
   */
  #enter(state, reason, code = null, pushName = this.#authState?.creds.me?.name ?? null) {
    if (state === 'stopped' && this.#state === 'stopped') return
    this.#state = state
    this.#reason = reason
    this.#log.info({ state, reason: masked(reason), code }, 'connection_state')
    this.#parts.report('connection.state', { state, reason, code, jid: this.#jid, push_name: this.#jid ? pushName : null })
  }
}

/**
 * The promise's value, or undefined when the signal is aborted first. The promise goes on either way.
 * @template T
 * @param {Promise<T>} promise
 * @param {AbortSignal} signal
 * @returns {Promise<T | undefined>}
 */
async function unlessAborted(promise, signal) {
  /** @type {() => void} */
  let onAbort = () => {}
  const aborted = new Promise(resolve => {
    onAbort = () => resolve(undefined)
    if (signal.aborted) resolve(undefined)
    else signal.addEventListener('abort', onAbort, { once: true })
  })
  try {
    return /** @type {T | undefined} */ (await Promise.race([promise, aborted]))
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
