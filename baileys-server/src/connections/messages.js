import { areJidsSameUser, isJidGroup, isLidUser, jidNormalizedUser, proto, toNumber } from '@whiskeysockets/baileys'
import { describe } from '../messages/described.js'

/** From Baileys' messages and receipts to the events of docs/internal-api.md. */

const Status = proto.WebMessageInfo.Status

/** @type {Map<number, 'sent' | 'delivered' | 'read' | 'played' | 'failed'>} */
const STATUSES = new Map([
  [Status.ERROR, 'failed'],
  [Status.SERVER_ACK, 'sent'],
  [Status.DELIVERY_ACK, 'delivered'],
  [Status.READ, 'read'],
  [Status.PLAYED, 'played']
])

/**
 * @param {import('@whiskeysockets/baileys').WAMessage} message
 * @param {string} ownJid
 * @returns {Record<string, any> & {type: string} | null} null when there is nothing in it for a person
 */
export function receivedMessage(message, ownJid) {
  const { key } = message
  if (!key.id || !key.remoteJid) return null
  const description = describe(message.message)
  if (!description) return null
  // Of a status post Baileys takes the other address of its author for one of the chat.
  const chat = phoneNumberJid(key.remoteJid, key.participant ? null : key.remoteJidAlt)
  const author = key.participant ? phoneNumberJid(key.participant, key.participantAlt ?? key.remoteJidAlt) : chat
  const sender = key.fromMe ? jidNormalizedUser(ownJid) : author
  return {
    message_id: key.id,
    chat,
    sender,
    from_me: Boolean(key.fromMe),
    timestamp: toNumber(message.messageTimestamp ?? 0),
    push_name: message.pushName ?? null,
    ...description,
    ...(description.target ? { target: targetSeenFromHere(/** @type {any} */ (description), { chat, sender, ownJid, fromMe: Boolean(key.fromMe) }) } : {})
  }
}

/**
 * Who wrote the message that this one is about. Baileys turns reactions and votes around to our side; an edit or a deletion
 * says "from me" of its own author, and an admin names whose message he deletes.
 * @param {{type: string, target: {message_id: string, from_me: boolean, sender: string | null}}} description
 * @param {{chat: string, sender: string, ownJid: string, fromMe: boolean}} seen
 */
function targetSeenFromHere({ type, target }, { chat, sender, ownJid, fromMe }) {
  const own = jidNormalizedUser(ownJid)
  if (type === 'edit' || type === 'delete') {
    if (target.from_me || !target.sender) return { ...target, from_me: fromMe, sender }
    return { ...target, from_me: areJidsSameUser(target.sender, own) }
  }
  if (target.from_me) return { ...target, sender: own }
  return { ...target, sender: isJidGroup(chat) ? target.sender : chat }
}

/**
 * @param {{key: import('@whiskeysockets/baileys').WAMessageKey, update: {status?: number | null}}} update
 * @returns {Record<string, unknown> | null}
 */
export function receiptFromUpdate({ key, update }) {
  const status = typeof update.status === 'number' ? STATUSES.get(update.status) : undefined
  if (!key.fromMe || !key.id || !status) return null
  return { message_id: key.id, chat: key.remoteJid ?? null, status, participant: null }
}

/**
 * Members of a group, and readers of a status, answer one by one.
 * @param {import('@whiskeysockets/baileys').MessageUserReceiptUpdate} update
 * @returns {Record<string, unknown> | null}
 */
export function receiptFromMember({ key, receipt }) {
  if (!key.fromMe || !key.id || !isJidGroup(key.remoteJid ?? '')) return null
  const status = receipt.readTimestamp ? 'read' : 'delivered'
  return { message_id: key.id, chat: key.remoteJid, status, participant: receipt.userJid ?? null }
}

/**
 * The phone number's JID where WhatsApp told it: that is what people send to, and what tells them who wrote.
 * @param {string} jid
 * @param {string | null | undefined} alternative
 */
function phoneNumberJid(jid, alternative) {
  return jidNormalizedUser(isLidUser(jid) && alternative && !isLidUser(alternative) ? alternative : jid)
}
