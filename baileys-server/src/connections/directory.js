import { isLidUser, isPnUser, jidNormalizedUser, toNumber } from '@whiskeysockets/baileys'
import { LRUCache } from 'lru-cache'
import { safeError } from '../log.js'

/**
 * What the phone and WhatsApp say about contacts, chats and labels, on its way to the store: Baileys tells it once, in
 * pieces, and keeps nothing.
 *
 * @typedef {'contact' | 'chat' | 'label'} Kind
 * @typedef {{id: string, from_me: boolean, participant?: string | null, timestamp: number}} LastMessage timestamp in seconds
 * @typedef {(kind: Kind, id: string, fields: Record<string, any> | null) => void} Note null: it is gone
 */

/** Chats whose newest message is remembered here; the store knows the others'. */
const REMEMBERED_CHATS = 200
const MOST_NAME = 200
/** WhatsApp tells some times in seconds and some in milliseconds. */
const FIRST_MILLISECONDS = 1e11

export class Directory {
  /** @type {LRUCache<string, LastMessage>} */
  #lastMessages = new LRUCache({ max: REMEMBERED_CHATS })
  /** Finding out whose LID it is takes time, and news of one chat must stay in order. */
  #inOrder = Promise.resolve()
  /** @type {any} */
  #sock = null
  #note
  #log

  /** @param {{note: Note, log: import('../log.js').Logger}} parts */
  constructor({ note, log }) {
    this.#note = note
    this.#log = log
  }

  /** @param {any} sock */
  attach(sock) {
    this.#sock = sock
    const { ev, ws } = sock
    const each = (/** @type {string} */ event, /** @type {(item: any) => void} */ handle) => ev.on(event, (/** @type {any[]} */ items) => items.forEach(handle))
    ev.on('messaging-history.set', (/** @type {any} */ { chats, contacts }) => {
      for (const contact of contacts) this.#onContact(contact)
      for (const chat of chats) this.#onChat(chat, historyUnread(chat))
    })
    each('chats.upsert', chat => this.#onChat(chat, historyUnread(chat)))
    each('chats.update', chat => this.#onChat(chat, unreadChange(chat)))
    each('chats.delete', id => this.remove('chat', id))
    each('contacts.upsert', contact => this.#onContact(contact))
    each('contacts.update', contact => this.#onContact(contact))
    each('groups.upsert', group => this.change('chat', group.id, { name: group.subject }))
    each('groups.update', group => this.change('chat', group.id, { name: group.subject }))
    ev.on('labels.edit', (/** @type {any} */ { id, name, color, deleted }) => deleted ? this.remove('label', id) : this.change('label', id, { name, color }))
    ev.on('labels.association', (/** @type {any} */ { type, association }) => {
      if (association.type === 'label_jid') this.label(association.labelId, association.chatId, type === 'add')
    })
    // What we send ourselves isn't emitted.
    ws.on('CB:ack,class:message', (/** @type {any} */ { attrs: { id, from, t, error } }) => {
      if (!error && from) this.#onLastMessage(from, { id, from_me: true, participant: null, timestamp: Number(t) || 0 })
    })
  }

  /** @param {string} chat @returns {LastMessage | undefined} */
  lastMessage(chat) {
    return this.#lastMessages.get(chat)
  }

  /**
   * @param {Kind} kind
   * @param {string} id
   * @param {Record<string, any>} fields undefined ones say nothing, null ones that there is none
   */
  change(kind, id, fields) {
    const given = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
    if (id && Object.keys(given).length > 0) this.#later(kind, id, given)
  }

  /** @param {Kind} kind @param {string} id */
  remove(kind, id) {
    this.#later(kind, id, null)
  }

  /** @param {string} labelId @param {string} chat @param {boolean} assigned */
  label(labelId, chat, assigned) {
    this.change('chat', chat, { labels: { [labelId]: assigned } })
  }

  /** @param {any} contact */
  #onContact({ id, name, notify, verifiedName, username, lid, phoneNumber }) {
    const address = phoneNumber && isLidUser(id) ? phoneNumber : id
    const other = [lid, id].find(each => each && isLidUser(each))
    this.change('contact', address, { name: named(name), push_name: named(notify), verified_name: named(verifiedName), username: named(username), lid: other && jidNormalizedUser(other) })
  }

  /** @param {any} chat @param {Record<string, any>} unread */
  #onChat(chat, unread) {
    const { id, name, displayName, pnJid, archived, pinned, muteEndTime, ephemeralExpiration, messages } = chat
    const address = pnJid && isLidUser(id) ? pnJid : id
    const last = messages?.[0]?.message
    if (last?.key?.id) {
      const { key, messageTimestamp } = last
      this.#onLastMessage(address, { id: key.id, from_me: Boolean(key.fromMe), participant: key.participant ? jidNormalizedUser(key.participant) : null, timestamp: toNumber(messageTimestamp ?? 0) })
    }
    this.change('chat', address, {
      ...unread,
      name: named(displayName ?? name),
      archived: archived ?? undefined,
      pinned_at: moment(pinned),
      muted_until: moment(muteEndTime),
      ephemeral_seconds: ephemeralExpiration === undefined ? undefined : toNumber(ephemeralExpiration ?? 0)
    })
  }

  /** @param {string} chat @param {LastMessage} last */
  #onLastMessage(chat, last) {
    this.change('chat', chat, { last_message: last })
  }

  /** @param {Kind} kind @param {string} id @param {Record<string, any> | null} fields */
  #later(kind, id, fields) {
    this.#inOrder = this.#inOrder.then(async () => {
      const address = kind === 'label' ? id : await this.#addressOf(id)
      if (fields?.last_message) this.#lastMessages.set(address, fields.last_message)
      this.#note(kind, address, fields)
    }).catch(error => this.#log.warn(safeError(error), 'directory_change_lost'))
  }

  /** The phone number's JID where it is known, as in every event. @param {string} id */
  async #addressOf(id) {
    const jid = jidNormalizedUser(id) || id
    if (!isLidUser(jid)) return jid
    const phone = await this.#sock?.signalRepository.lidMapping.getPNForLID(jid)
    return phone && isPnUser(phone) ? jidNormalizedUser(phone) : jid
  }
}

/** How much is unread, where that is told as a whole. @param {any} chat */
function historyUnread({ unreadCount, markedAsUnread }) {
  return { unread_count: unreadCount > 0 ? unreadCount : unreadCount === 0 ? 0 : undefined, marked_unread: markedAsUnread ?? undefined }
}

/** Baileys' updates add to the number, or make it 0; -1 is the mark that a person sets. @param {any} chat */
function unreadChange({ unreadCount }) {
  if (unreadCount > 0) return { unread_added: unreadCount }
  if (unreadCount === 0) return { unread_count: 0, marked_unread: false }
  return unreadCount === -1 ? { marked_unread: true } : {}
}

/** @param {string | null | undefined} name */
const named = name => name ? name.slice(0, MOST_NAME) : undefined

/** @param {any} time @returns {number | null | undefined} milliseconds; -1: for ever */
function moment(time) {
  if (time === undefined) return undefined
  const number = time === null ? 0 : toNumber(time)
  if (number === 0) return null
  return number > 0 && number < FIRST_MILLISECONDS ? number * 1000 : number
}
