import { initAuthCreds } from '@whiskeysockets/baileys'
import { decode, digest, encode } from './codec.js'
import { DECRYPTED_MESSAGE, DecryptedMessages } from './decrypted-messages.js'
import { KeyStore } from './key-store.js'
import { WriteQueue, mustStop } from './write-queue.js'
import { makeRatchetSafeSignalRepository } from './ratchet-safe-signal.js'

/**
 * @typedef {object} Store the backup API of one session, as SessionBackup offers it
 * @property {(write: any, options?: any) => Promise<void>} write
 * @property {(type: string, ids: string[], options?: any) => Promise<Map<string, string>>} read
 *
 * @typedef {object} Parts
 * @property {Store} store
 * @property {import('../clock.js').Clock} clock
 * @property {(error: Error) => void} onClosed the store says that this session must stop (lease lost, corrupt)
 * @property {(degraded: boolean, reason: string | null) => void} onDegraded writes wait for the store
 * @property {import('./decrypted-messages.js').MessageIn} messageIn
 */

/** The stored creds exist and aren't those of a paired account: nothing may be concluded from them. */
export class UnusableCreds extends Error {
  code = 'unusable_creds'
}

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
  #onDegraded

  /**
   * A new identity. Only for a generation that is proven absent.
   * @param {Parts} parts
   */
  static fresh(parts) {
    const authState = new AuthState(initAuthCreds(), parts)
    authState.#keyStore.prefetched([], true)
    return authState
  }

  /**
   * @param {{creds: string, keys: [string, string, string][], complete: boolean}} found
   * @param {Parts} parts
   * @throws {UnusableCreds}
   */
  static restored(found, parts) {
    const authState = new AuthState(pairedCreds(found.creds), parts)
    authState.#keyStore.prefetched(found.keys, found.complete)
    authState.#decrypted.restore(found.keys.filter(([type]) => type === DECRYPTED_MESSAGE).map(([, , text]) => decode(text)))
    return authState
  }

  /**
   * @param {import('@whiskeysockets/baileys').AuthenticationCreds} creds
   * @param {Parts} parts
   */
  constructor(creds, { store, clock, onClosed, onDegraded, messageIn }) {
    this.creds = creds
    this.#onDegraded = onDegraded
    const options = {
      signal: this.#aborting.signal,
      onAttemptFailed: (/** @type {Error} */ error) => this.#setDegraded(true, error.message)
    }
    this.#queue = new WriteQueue({
      clock,
      onClosed,
      held: !this.isPaired,
      onCommitted: keys => this.#keyStore.committed(keys),
      onFailed: keys => this.#keyStore.forget(keys),
      write: async batch => {
        await store.write(bodyOf(batch), options)
        this.#setDegraded(false, null)
      }
    })
    this.#keyStore = new KeyStore({
      queue: this.#queue,
      read: async (type, ids) => {
        try {
          return await store.read(type, ids, { signal: this.#aborting.signal })
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

  get degraded() {
    return this.#degraded
  }

  /** For Baileys' `auth`. */
  get forBaileys() {
    return { creds: this.creds, keys: /** @type {any} */ (this.#keyStore) }
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
   * @param {Uint8Array} message encoded proto.Message
   */
  stageSentMessage(messageId, message) {
    this.#queue.enqueue({ sentMessages: [[messageId, Buffer.from(message).toString('base64')]] })
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
   * @returns {{credsDigest: string, credsText: string, keys: import('./write-queue.js').KeyChange[]} | null}
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

  /** @param {import('./write-queue.js').KeyChange} key */
  repairKey(key) {
    return this.#keyStore.repair(key)
  }

  /** @param {Error} reason */
  close(reason) {
    this.#aborting.abort()
    this.#queue.close(reason)
  }

  #enqueueCreds() {
    const { id, lid } = /** @type {{id: string, lid?: string}} */ (this.creds.me)
    return this.#queue.enqueue({ creds: { text: encode(this.creds), account: { jid: id, lid: lid ?? null } } })
  }

  /**
   * @param {boolean} degraded
   * @param {string | null} reason
   */
  #setDegraded(degraded, reason) {
    if (this.#degraded === degraded) return
    this.#degraded = degraded
    this.#onDegraded(degraded, reason)
  }
}

/**
 * @param {string} text
 * @returns {import('@whiskeysockets/baileys').AuthenticationCreds}
 */
function pairedCreds(text) {
  let creds
  try {
    creds = decode(text)
  } catch {
    throw new UnusableCreds('The stored creds are not readable.')
  }
  const complete = creds?.me?.id && creds.account && creds.noiseKey?.private && creds.signedIdentityKey?.private
  if (!complete) throw new UnusableCreds('The stored creds are not those of a paired account.')
  return creds
}

/** @param {Parameters<ConstructorParameters<typeof WriteQueue>[0]['write']>[0]} batch */
function bodyOf({ creds, account, keys, sentMessages, incoming }) {
  return {
    creds,
    account,
    set: keys.filter(([, , text]) => text !== null),
    delete: keys.filter(([, , text]) => text === null).map(([type, id]) => [type, id]),
    sent_messages: sentMessages,
    incoming_messages: incoming
  }
}
