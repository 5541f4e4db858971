import { AsyncLocalStorage } from 'node:async_hooks'
import { generateMessageIDV2, isJidNewsletter, proto } from '@whiskeysockets/baileys'
import { LRUCache } from 'lru-cache'
import { safeError } from '../log.js'
import { makeContent, relayOptions } from '../messages/content.js'
import { Recipients } from '../messages/recipients.js'
import { ControlError } from './control-error.js'
import { describedMessage } from './incoming-messages.js'

/** Receivers ask for a message again within minutes, and mostly within seconds. */
const REMEMBERED_MESSAGES = 500
/** WhatsApp acknowledges in less than a second; by then the watchdog has its eye on the socket. */
const ACKNOWLEDGEMENT_MS = 15_000

/**
 * Sends over one socket, and answers when a receiver couldn't decrypt and asks for a message again.
 */
export class Sender {
  /** @type {LRUCache<string, {to: string, message: proto.IMessage}>} */
  #sent = new LRUCache({ max: REMEMBERED_MESSAGES })
  /** @type {Set<Promise<unknown>>} */
  #inFlight = new Set()
  /** @type {Map<string, number>} when each message was written that WhatsApp hasn't acknowledged, the oldest first */
  #unacknowledged = new Map()
  /** @type {LRUCache<string, Promise<{message_id: string, to: string, acknowledged: boolean}>>} sends of this socket whose id was fixed beforehand, by it */
  #once = new LRUCache({ max: REMEMBERED_MESSAGES })
  /** @type {Map<string, (error: string | null | undefined) => void>} who waits for WhatsApp's word on a message: an error's code, null for none, undefined for silence */
  #verdicts = new Map()
  #refusing = false
  /** @type {AsyncLocalStorage<{written: boolean}>} the send that the code runs for */
  #sending = new AsyncLocalStorage()
  /** @type {any} Baileys' socket */
  #sock = null
  #recipients
  #authState
  #backup
  #media
  #report
  #clock
  #log

  /**
   * @param {object} parts
   * @param {import('../auth-state/auth-state.js').AuthState} parts.authState
   * @param {import('../orchestrator/session-backup.js').SessionBackup} parts.backup
   * @param {import('../messages/media.js').Media} parts.media
   * @param {(type: string, data: Record<string, unknown>) => void} parts.report
   * @param {import('../clock.js').Clock} parts.clock
   * @param {import('../log.js').Logger} parts.log
   */
  constructor({ authState, backup, media, report, clock, log }) {
    this.#recipients = new Recipients(log)
    this.#authState = authState
    this.#backup = backup
    this.#media = media
    this.#report = report
    this.#clock = clock
    this.#log = log
  }

  /** @param {any} sock */
  attach(sock) {
    this.#sock = sock
    this.#watchForWritten(sock.authState)
    sock.ws.on('CB:ack,class:message', (/** @type {any} */ node) => this.#onServerAck(node))
  }

  /**
   * @param {import('../messages/content.js').OutgoingMessage} message
   * @returns {Promise<{message_id: string, to: string, event?: object | null}>} event: with `describe`; after the stanza was written to the socket
   */
  send(message) {
    return this.#keep(this.#send(message))
  }

  /**
   * Sends a message whose id was fixed beforehand. Asked for again over this socket, it is the same send: a caller that
   * didn't hear the answer may ask. With `again` it may have left over an earlier socket; then the content is that of the first time.
   * @param {import('../messages/content.js').OutgoingMessage} message
   * @returns {Promise<{message_id: string, to: string, acknowledged: boolean}>} acknowledged: WhatsApp said that it has the message; false: it is written, and no word came
   */
  sendOnce(message) {
    const known = this.#once.get(message.message_id)
    if (known) return known
    const sending = this.#keep(this.#sendAndHear(message))
    this.#once.set(message.message_id, sending)
    const forget = () => this.#once.delete(message.message_id)
    sending.then(({ acknowledged }) => { if (!acknowledged) forget() }, forget)
    return sending
  }

  /**
   * @param {proto.IMessage} message
   * @param {import('../messages/media.js').Way} way
   */
  download(message, way) {
    return this.#media.download(this.#sock, message, way)
  }

  refuse() {
    this.#refusing = true
  }

  /** The socket is gone: nobody hears anything from it any more. */
  end() {
    for (const tell of this.#verdicts.values()) tell(undefined)
  }

  /** Resolves when nothing is being sent. */
  async idle() {
    await Promise.allSettled([...this.#inFlight])
  }

  /**
   * For Baileys' `getMessage`: the content of a message that a receiver asks for again.
   * @param {{id?: string | null}} key
   * @returns {Promise<proto.IMessage | undefined>}
   */
  getMessage = async ({ id }) => {
    if (!id) return undefined
    const remembered = this.#sent.get(id)
    if (remembered) return remembered.message
    try {
      const stored = await this.#backup.readSentMessage(id)
      return stored ? proto.Message.decode(stored) : undefined
    } catch (error) {
      this.#log.warn(safeError(error), 'sent_message_unknown')
      return undefined
    }
  }

  /**
   * The chat that a message was sent to, as the sender named it: receipts may come from the contact's other address.
   * @param {string} messageId
   */
  chatOf(messageId) {
    return this.#sent.get(messageId)?.to
  }

  /**
   * How long WhatsApp has owed us the acknowledgement of a message; 0 when it owes none.
   * @param {number} now of the clock's uptime
   */
  longestUnacknowledgedMs(now) {
    for (const writtenAt of this.#unacknowledged.values()) return now - writtenAt
    return 0
  }

  /**
   * @template T
   * @param {Promise<T>} sending
   * @returns {Promise<T>}
   */
  #keep(sending) {
    this.#inFlight.add(sending)
    sending.catch(() => {}).finally(() => this.#inFlight.delete(sending))
    return sending
  }

  /** @param {import('../messages/content.js').OutgoingMessage} message */
  async #sendAndHear(message) {
    const { message_id: messageId } = message
    /** @type {Promise<string | null | undefined>} */
    const verdict = new Promise(resolve => this.#verdicts.set(messageId, resolve))
    const cancel = this.#clock.after(ACKNOWLEDGEMENT_MS, () => this.#verdicts.get(messageId)?.(undefined))
    try {
      const sent = await this.#send(message)
      const error = await verdict
      if (error) throw new ControlError('message_refused', `WhatsApp refused the message with error ${error}.`)
      return { ...sent, acknowledged: error === null }
    } finally {
      cancel()
      this.#verdicts.delete(messageId)
    }
  }

  /** @param {import('../messages/content.js').OutgoingMessage} message */
  async #send(message) {
    if (this.#refusing) throw new ControlError('shutting_down', 'The session is being closed; send again when it is back.')
    const userJid = /** @type {string} */ (this.#authState.creds.me?.id)
    const messageId = message.message_id ?? generateMessageIDV2(userJid)
    const sending = { written: false }
    try {
      const to = await this.#recipients.find(this.#sock, message.to)
      const { content, relay } = await this.#contentOf({ ...message, to }, {
        userJid,
        messageId,
        upload: (kind, file, how) => this.#media.upload(this.#sock, kind, file, how),
        path: file => this.#media.path(file),
        log: this.#log
      })
      this.#sent.set(messageId, { to, message: content })
      // Ahead of the ratchet step in the same ordered queue, so durable before the stanza can leave.
      this.#authState.stageSentMessage(messageId, content)
      // A post in a channel is not encrypted: no ratchet step waits for it.
      if (isJidNewsletter(to)) await this.#authState.durable()
      this.#unacknowledged.set(messageId, this.#clock.uptime())
      await this.#sending.run(sending, () => this.#sock.relayMessage(to, content, { messageId, ...relay }))
      return { message_id: messageId, to, ...(message.describe ? { event: this.#described(messageId, to, content, userJid) } : {}) }
    } catch (error) {
      if (error instanceof ControlError) throw error
      if (sending.written) {
        // Sent it is, and its ratchets were durable before; what is lost is a cache, such as a device list.
        this.#log.error(safeError(error), 'send_not_committed')
        return { message_id: messageId, to: this.chatOf(messageId) ?? message.to }
      }
      this.#unacknowledged.delete(messageId)
      this.#log.warn(safeError(error), 'send_failed')
      throw new ControlError('send_failed', `The message was not written: ${/** @type {Error} */ (error).message}`, { cause: error })
    }
  }

  /**
   * What is sent: what was sent before, if the message may have left already.
   * @param {import('../messages/content.js').OutgoingMessage} message
   * @param {import('../messages/content.js').Tools} tools
   */
  async #contentOf(message, tools) {
    const kept = message.again ? await this.getMessage({ id: tools.messageId }) : undefined
    return kept ? { content: kept, relay: relayOptions(message, tools) } : makeContent(message, tools)
  }

  /**
   * A message as it would be told if it had come from our own phone.
   * @param {string} id @param {string} to @param {proto.IMessage} message @param {string} userJid
   */
  #described(id, to, message, userJid) {
    const key = { id, remoteJid: to, fromMe: true }
    const messageTimestamp = Math.floor(this.#clock.now() / 1000)
    return describedMessage(/** @type {any} */ ({ key, message, messageTimestamp }), userJid)
  }

  /**
   * Baileys writes the stanza as the last step of a transaction of its own, named by our JID: when the step is done and
   * the send fails nevertheless, it was the commit that failed.
   * @param {import('@whiskeysockets/baileys').SignalCreds & any} authState of the socket
   */
  #watchForWritten({ creds, keys }) {
    const { transaction } = keys
    keys.transaction = (/** @type {() => Promise<any>} */ work, /** @type {string} */ name) => {
      const sending = this.#sending.getStore()
      if (!sending || name !== creds.me?.id) return transaction(work, name)
      return transaction(async () => {
        const result = await work()
        sending.written = true
        return result
      }, name)
    }
  }

  /** @param {{attrs: Record<string, string>}} node WhatsApp's server took the message; Baileys tells only failures */
  #onServerAck({ attrs }) {
    this.#unacknowledged.delete(attrs.id)
    this.#verdicts.get(attrs.id)?.(attrs.error ?? null)
    const chat = this.chatOf(attrs.id)
    if (chat && !attrs.error) this.#report('message.receipt', { message_id: attrs.id, chat, status: 'sent', participant: null })
  }
}
