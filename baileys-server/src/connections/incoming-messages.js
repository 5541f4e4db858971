import { cleanMessage, decodeMessageNode, proto, unpadRandomMax16 } from '@whiskeysockets/baileys'
import { digest } from '../auth-state/codec.js'
import { safeError } from '../log.js'
import { isOfItsOwn } from '../messages/described.js'
import { authorsOf } from '../messages/polls.js'
import { receivedMessage } from './messages.js'

/**
 * Messages received, on their way to the store. Baileys tells WhatsApp that a message arrived before it emits it, so a
 * crash in between would lose it. So a message is made out of what was decrypted, as Baileys makes it a moment later,
 * and becomes durable in the same write as the ratchet step that decrypted it.
 *
 * What Baileys emits without having decrypted a stanza for it (the phone sends again what came as a placeholder)
 * becomes durable when it is emitted.
 *
 * @typedef {import('../auth-state/decrypted-messages.js').Incoming} Incoming
 */

const REMEMBERED_KEYS = 1000
/** A row's share of a frame; only thumbnails make a message larger than a text can be. */
const MAX_ORIGIN_BYTES = 256 * 1024

export class IncomingMessages {
  /** @type {WeakMap<Uint8Array, {stanza: any, me: any}>} by the ciphertext: the object itself reaches the Signal repository */
  #stanzas = new WeakMap()
  #polls
  /** @type {Set<string>} of the messages that are on their way or durable, oldest first */
  #staged = new Set()
  #log
  #wants

  /**
   * @param {import('../log.js').Logger} log
   * @param {import('../messages/polls.js').Polls} polls
   * @param {(chat: string) => boolean} wants whether messages of a chat are told; others are acknowledged all the same
   */
  constructor(log, polls, wants = () => true) {
    this.#log = log
    this.#polls = polls
    this.#wants = wants
  }

  /**
   * @param {any} sock Baileys' socket
   * @param {import('../auth-state/auth-state.js').AuthState} authState
   */
  attach({ ws, ev }, authState) {
    // Ahead of Baileys' own listener, which decrypts.
    ws.prependListener('CB:message', (/** @type {any} */ stanza) => this.#remember(stanza, authState.creds.me))
    ev.on('messages.upsert', (/** @type {{messages: any[]}} */ { messages }) => {
      for (const message of messages) this.#stageUnlessStaged(message, authState)
    })
  }

  /**
   * For the auth state: the message in what was decrypted, if there is one for a person.
   * @param {Uint8Array} ciphertext
   * @param {Uint8Array} plaintext
   * @returns {{incoming: Incoming | null, keys: import('../auth-state/key-store.js').KeysByType} | null} keys: what goes with it
   */
  messageIn = (ciphertext, plaintext) => {
    const received = this.#stanzas.get(ciphertext)
    if (!received) return null
    try {
      const { stanza, me } = received
      const { fullMessage } = decodeMessageNode(stanza, me.id, me.lid ?? '')
      const content = proto.Message.decode(unpadRandomMax16(plaintext))
      const message = { ...fullMessage, message: content.deviceSentMessage?.message ?? content }
      cleanMessage(message, me.id, me.lid ?? '')
      const incoming = this.#wants(message.key.remoteJid ?? '') ? this.#incomingOf(message, me) : null
      if (incoming) this.#noteStaged(incoming)
      return { incoming, keys: this.#polls.keep(message.key.id ?? '', message.message, authorsOf(message.key, me)) }
    } catch (error) {
      // Baileys fails in the same way, and asks for the message again.
      this.#log.warn(safeError(error), 'message_not_understood')
      return null
    }
  }

  /** @param {any} stanza @param {any} me */
  #remember(stanza, me) {
    if (!me || !Array.isArray(stanza.content)) return
    for (const { tag, content } of stanza.content) {
      if (tag === 'enc' && content instanceof Uint8Array) this.#stanzas.set(content, { stanza, me })
    }
  }

  /** @param {any} message @param {import('../auth-state/auth-state.js').AuthState} authState */
  #stageUnlessStaged(message, authState) {
    try {
      const incoming = this.#wants(message.key.remoteJid ?? '') ? this.#incomingOf(message, authState.creds.me) : null
      if (!incoming || this.#staged.has(incoming[0])) return
      this.#noteStaged(incoming)
      authState.stageIncoming(incoming).catch(error => this.#log.warn(safeError(error), 'message_not_durable_yet'))
    } catch (error) {
      // One odd message must not cost its neighbours.
      this.#log.error(safeError(error), 'message_not_reported')
    }
  }

  /** @param {Incoming} incoming */
  #noteStaged([messageKey]) {
    this.#staged.add(messageKey)
    if (this.#staged.size > REMEMBERED_KEYS) this.#staged.delete(/** @type {string} */ (this.#staged.values().next().value))
  }

  /**
   * @param {import('@whiskeysockets/baileys').WAMessage} message
   * @param {any} me
   * @returns {Incoming | null}
   */
  #incomingOf(message, me) {
    const data = describedMessage(message, me?.id ?? '')
    if (!data) return null
    if (data.type === 'poll_vote') data.options = this.#polls.choice(message.message, authorsOf(message.key, me))
    return [messageKey(data), JSON.stringify(data)]
  }
}

/**
 * Digests, because ids are whatever their senders choose, and chats are people: of the id, of the chat, of the sender, so
 * that messages are found by either of the first two (orchestrator/domain/message_key.py).
 * @param {Record<string, any>} data
 */
export function messageKey({ chat, sender, message_id: id }) {
  return digest(id).slice(0, 24) + digest(chat).slice(0, 24) + digest(sender).slice(0, 16)
}

/**
 * A message as it is told and kept.
 * @param {import('@whiskeysockets/baileys').WAMessage} message
 * @param {string} ownJid
 * @returns {Record<string, any> & {type: string} | null} null when there is nothing in it for a person
 */
export function describedMessage(message, ownJid) {
  const data = receivedMessage(message, ownJid)
  return data && isOfItsOwn(data) ? { ...data, origin: originOf(message) } : data
}

/**
 * What is kept with a message, so that it can be quoted, forwarded and its media opened: where it came from as WhatsApp says it,
 * and its content.
 * @param {import('@whiskeysockets/baileys').WAMessage} message
 */
function originOf({ key, message }) {
  const content = proto.Message.encode(/** @type {proto.IMessage} */ (message)).finish()
  return {
    chat: key.remoteJid,
    participant: key.participant || null,
    message: content.length <= MAX_ORIGIN_BYTES ? Buffer.from(content).toString('base64') : null
  }
}
