import { initAuthCreds, proto } from '@whiskeysockets/baileys'
import { mustStop } from './batch.js'
import { decode, digest, encode } from './codec.js'
import { DECRYPTED_MESSAGE, DecryptedMessages } from './decrypted-messages.js'
import { KeyStore } from './key-store.js'
import { WriteQueue } from './write-queue.js'
import { makeRatchetSafeSignalRepository } from './ratchet-safe-signal.js'
import { POLL } from '../messages/polls.js'
import { checkIdentity, credsOf, missingKeys } from './restore-check.js'

/**
 * @typedef {object} Store the backup API of one session, as SessionBackup offers it
 * @property {(request: import('./write-queue.js').WriteRequest) => Promise<void>} write
 * @property {(type: string, ids: string[], options?: any) => Promise<Map<string, string>>} read
 * @property {(options?: any) => Promise<{keys: [string, string, string][], complete: boolean}>} prefetch
 *
 * @typedef {object} Parts
 * @property {Store} store
 * @property {import('./journal.js').JournalPart | null} journal
 * @property {number} writeRetries attempts after the first that a write is given when it can't be journaled
 * @property {import('../clock.js').Clock} clock
 * @property {(error: Error) => void} onClosed the store says that this session must stop (lease lost, corrupt)
 * @property {(degraded: boolean, reason: string | null) => void} onDegraded writes wait for the store
 * @property {(error: Error) => void} onLost a write was refused after it was promised to be durable, or creds could not be journaled
 * @property {import('./decrypted-messages.js').MessageIn} messageIn
 * @property {import('../messages/polls.js').Polls} polls
 */

/**
 * The auth state of one generation, as Baileys wants it (`creds`, `keys`), durable behind its back. An identity that
 * isn't paired lives in memory only: its changes are held back until WhatsApp confirmed the account.
 */
export class AuthState {
  #queue
  #keyStore
  #decrypted
  #aborting = new AbortController()
  #degraded = false
  /** Whether the keys that the store has were brought, as far as they fit. */
  #prefetched = false
  #store
  #polls

  /**
   * A new identity. Only for a generation that is proven absent.
   * @param {Parts} parts
   */
  static fresh(parts) {
    const authState = new AuthState(initAuthCreds(), parts)
    authState.#takeKeys([], true)
    return authState
  }

  /**
   * Creds only: a session that waits for its turn needs no keys.
   * @param {{creds: string, account: import('./batch.js').Account}} found
   * @param {Parts} parts
   * @throws {import('./restore-check.js').UnusableCreds}
   */
  static restored({ creds, account }, parts) {
    return new AuthState(credsOf(creds, account), parts)
  }

  /**
   * @param {import('@whiskeysockets/baileys').AuthenticationCreds} creds
   * @param {Parts} parts
   */
  constructor(creds, { store, journal, writeRetries, clock, onClosed, onDegraded, onLost, messageIn, polls }) {
    this.creds = creds
    this.#store = store
    this.#polls = polls
    this.#queue = new WriteQueue({
      clock,
      journal,
      retries: writeRetries,
      onClosed,
      onLost,
      held: !this.isPaired,
      onCommitted: keys => this.#keyStore.committed(keys),
      onFailed: keys => this.#keyStore.forget(keys),
      onDegraded: (degraded, reason) => {
        this.#degraded = degraded
        onDegraded(degraded, reason)
      },
      write: request => store.write(request)
    })
    this.#keyStore = new KeyStore({
      queue: this.#queue,
      read: async (type, ids) => {
        try {
          // Absent is not failed, and Baileys would take a failed read for a lost session: it waits for the answer.
          return await store.read(type, ids, { signal: this.#aborting.signal, retries: Infinity })
        } catch (error) {
          if (mustStop(error)) onClosed(/** @type {Error} */ (error))
          throw error
        }
      }
    })
    this.#decrypted = new DecryptedMessages(this.#keyStore, messageIn)
    /** For makeWASocket. One for all sockets: what a closed one still does must not cross what its successor does. */
    this.makeSignalRepository = makeRatchetSafeSignalRepository(this.#keyStore, this.#decrypted)
  }

  /** `creds.registered` stays false after a QR pairing; the signed account is what proves it. */
  get isPaired() {
    return Boolean(this.creds.me?.id && this.creds.account)
  }

  /** Its first login uploads pre-keys; before that, nothing proves that WhatsApp heard our half of the pairing. */
  get neverLoggedIn() {
    return this.isPaired && this.creds.firstUnuploadedPreKeyId === 1
  }

  get degraded() {
    return this.#degraded
  }

  /** For Baileys' `auth`. */
  get forBaileys() {
    return { creds: this.creds, keys: /** @type {any} */ (this.#keyStore) }
  }

  /**
   * Before a socket opens: brings the keys of a restored auth state, once.
   * @returns {Promise<string[]>} what it lacks, as restore-check.js says; rejects with UnusableCreds for a broken identity
   */
  async wake() {
    if (this.#prefetched) return []
    checkIdentity(this.creds)
    const { keys, complete } = await this.#store.prefetch({ signal: this.#aborting.signal })
    this.#takeKeys(keys, complete)
    return await missingKeys(this.creds, this.#keyStore)
  }

  /**
   * For Baileys' `creds.update`, which waits for nobody: the creds stay dirty until they are durable.
   * @param {Partial<import('@whiskeysockets/baileys').AuthenticationCreds>} update
   */
  updateCreds(update) {
    Object.assign(this.creds, update)
    if (!this.isPaired) return
    this.#enqueueCreds()
    this.#queue.release()
  }

  /**
   * A retry receipt may ask for this message after a restart: it becomes durable not later than the message number
   * that it is sent with.
   * @param {string} messageId
   * @param {import('@whiskeysockets/baileys').proto.IMessage} message
   */
  stageSentMessage(messageId, message) {
    const { id, lid } = this.creds.me ?? {}
    this.#keyStore.stage(this.#polls.keep(messageId, message, [id, lid]))
    this.#queue.enqueue({ sentMessages: [[messageId, proto.Message.encode(message).finish()]] })
  }

  /**
   * A message that came another way than through decryption here.
   * @param {import('./decrypted-messages.js').Incoming} incoming
   * @returns {Promise<void>} when it is durable; rejects when that takes another try, which follows
   */
  stageIncoming(incoming) {
    return this.#queue.enqueue({ incoming: [incoming] })
  }

  /** Resolves when everything until now is durable. */
  durable() {
    return this.#queue.drained()
  }

  /** Resolves when the newest creds are durable, however long that takes. */
  credsDurable() {
    return this.#queue.credsDurable()
  }

  /**
   * What a verification backup compares: null while something is on its way.
   * @returns {{credsDigest: string, credsText: string, keys: import('./batch.js').KeyChange[]} | null}
   */
  snapshot() {
    if (!this.#queue.isQuiet || !this.isPaired) return null
    const credsText = encode(this.creds)
    return { credsText, credsDigest: digest(credsText), keys: this.#keyStore.cached() }
  }

  /** Writes the creds once more. */
  repairCreds() {
    return this.#enqueueCreds()
  }

  /** @param {import('./batch.js').KeyChange} key */
  repairKey(key) {
    return this.#keyStore.repair(key)
  }

  /** @param {Error} reason */
  close(reason) {
    this.#aborting.abort()
    this.#queue.close(reason)
  }

  /** @param {[type: string, id: string, text: string][]} keys newest first @param {boolean} complete */
  #takeKeys(keys, complete) {
    this.#prefetched = true
    this.#keyStore.prefetched(keys, complete)
    this.#polls.restore(keys.filter(([type]) => type === POLL).map(([, , text]) => decode(text)))
    this.#decrypted.restore(keys.filter(([type]) => type === DECRYPTED_MESSAGE).map(([, , text]) => decode(text)))
  }

  #enqueueCreds() {
    const { id, lid } = /** @type {{id: string, lid?: string}} */ (this.creds.me)
    return this.#queue.enqueue({ creds: { text: encode(this.creds), account: { jid: id, lid: lid ?? null } } })
  }
}
