import { malformedAnswer } from './errors.js'

/**
 * @typedef {[type: string, id: string, text: string]} KeyText
 * @typedef {[type: string, id: string]} KeyName
 *
 * @typedef {object} AuthStateWrite
 * @property {string | null} creds
 * @property {{jid: string, lid: string | null} | null} account
 * @property {KeyText[]} set
 * @property {KeyName[]} delete
 * @property {[messageId: string, message: Uint8Array][]} sent_messages encoded proto.Message
 * @property {[messageKey: string, text: string][]} incoming_messages
 *
 * @typedef {object} WriteRequest
 * @property {() => AuthStateWrite | null} take what is to be written, asked at each attempt; null: nothing any more
 * @property {(error: Error, downMs: number) => void} attemptFailed an attempt that will be repeated; `downMs` since the first
 *
 * @typedef {import('./client.js').CallOptions} CallOptions
 */

/** The orchestrator refuses more in one call. */
const KEYS_PER_READ = 5000

/** The backup API for one session under one lease: every call carries its generation and epoch. */
export class SessionBackup {
  #client
  #session
  #folder
  #lease

  /**
   * @param {import('./client.js').OrchestratorClient} client
   * @param {{sessionRef: number, generation: number, epoch: number}} session
   */
  constructor(client, { sessionRef, generation, epoch }) {
    this.#client = client
    this.#session = { sessionRef, generation, epoch }
    this.#folder = `/internal/v1/sessions/${sessionRef}`
    this.#lease = { generation, epoch }
  }

  /**
   * Everything but pre-keys, or as much of it as fits.
   * @param {CallOptions} [options]
   * @returns {Promise<{keys: KeyText[], complete: boolean}>} newest first; complete: nothing but pre-keys was left out
   */
  async prefetch(options) {
    const { keys, complete } = await this.#client.call(`${this.#folder}/auth-state/prefetch`, this.#lease, options)
    if (!Array.isArray(keys) || !keys.every(isKeyText)) throw malformedAnswer('The answer to prefetch has no keys.')
    return { keys, complete: complete === true }
  }

  /**
   * @param {string} keyType
   * @param {string[]} keyIds
   * @param {CallOptions} [options]
   * @returns {Promise<Map<string, string>>} a missing id is proven absent
   */
  async read(keyType, keyIds, options) {
    /** @type {Map<string, string>} */
    const found = new Map()
    for (let start = 0; start === 0 || start < keyIds.length; start += KEYS_PER_READ) {
      const body = { ...this.#lease, key_type: keyType, key_ids: keyIds.slice(start, start + KEYS_PER_READ) }
      const { values } = await this.#client.call(`${this.#folder}/auth-state/read`, body, options)
      if (typeof values !== 'object' || values === null || !Object.values(values).every(isString)) {
        throw malformedAnswer('The answer to read has no values.')
      }
      for (const [id, text] of Object.entries(values)) found.set(id, text)
    }
    return found
  }

  /**
   * Returns when PostgreSQL committed what was taken. Repeated until it is committed or refused.
   * @param {WriteRequest} request
   */
  write(request) {
    return this.#client.write(this.#session, request)
  }

  /** @returns {Promise<number | null>} the epoch with which a journal of this lease is to be written; null: it is worthless */
  async recoverJournal() {
    const { epoch } = await this.#client.call(`${this.#folder}/journal/recover`, this.#lease, { retries: 0 })
    if (epoch !== null && !Number.isSafeInteger(epoch)) throw malformedAnswer('The answer to journal/recover has no epoch.')
    return epoch
  }

  /**
   * @param {{creds: string, keys: [type: string, id: string, digest: string | null][]}} digests
   * @param {CallOptions} [options]
   * @returns {Promise<{creds: boolean, keys: KeyName[]}>} what differs
   */
  async verify(digests, options) {
    const answer = await this.#client.call(`${this.#folder}/auth-state/verify`, { ...this.#lease, ...digests }, options)
    if (typeof answer.creds !== 'boolean' || !Array.isArray(answer.keys)) throw malformedAnswer('The answer to verify is incomplete.')
    return { creds: answer.creds, keys: answer.keys }
  }

  /**
   * @param {string} messageId
   * @returns {Promise<Buffer | null>} an encoded proto.Message
   */
  async readSentMessage(messageId) {
    const body = { ...this.#lease, message_id: messageId }
    const { message } = await this.#client.call(`${this.#folder}/sent-messages/read`, body)
    return typeof message === 'string' ? Buffer.from(message, 'base64') : null
  }

  /** @returns {Promise<boolean>} */
  async isLeaseHeld() {
    const { held } = await this.#client.call(`${this.#folder}/lease/check`, { epoch: this.#lease.epoch }, { retries: 0 })
    if (typeof held !== 'boolean') throw malformedAnswer('The answer to lease/check is not true or false.')
    return held
  }
}

/** @param {unknown} value */
const isString = value => typeof value === 'string'

/** @param {unknown} entry */
const isKeyText = entry => Array.isArray(entry) && entry.length === 3 && entry.every(isString)
