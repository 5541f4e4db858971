import { getContentType, isJidGroup, isJidNewsletter, isJidStatusBroadcast, isLidUser, jidNormalizedUser, normalizeMessageContent, proto, toNumber }
  from '@whiskeysockets/baileys'

/** From Baileys' messages and receipts to the events of docs/internal-api.md. */

/** @type {Record<string, string>} */
const TYPES = {
  conversation: 'text',
  extendedTextMessage: 'text',
  imageMessage: 'image',
  videoMessage: 'video',
  ptvMessage: 'video',
  audioMessage: 'audio',
  documentMessage: 'document',
  stickerMessage: 'sticker',
  contactMessage: 'contact',
  contactsArrayMessage: 'contact',
  locationMessage: 'location',
  liveLocationMessage: 'location',
  reactionMessage: 'reaction'
}

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
 * @returns {Record<string, unknown> | null} null when there is nothing in it for a person
 */
export function receivedMessage(message, ownJid) {
  const { key } = message
  const content = normalizeMessageContent(message.message)
  const contentType = content && getContentType(content)
  if (!key.id || !key.remoteJid || !content || !contentType || contentType === 'protocolMessage') return null
  if (isJidStatusBroadcast(key.remoteJid) || isJidNewsletter(key.remoteJid)) return null
  const chat = phoneNumberJid(key.remoteJid, key.remoteJidAlt)
  const author = key.participant ? phoneNumberJid(key.participant, key.participantAlt) : chat
  return {
    message_id: key.id,
    chat,
    sender: key.fromMe ? jidNormalizedUser(ownJid) : author,
    from_me: Boolean(key.fromMe),
    timestamp: toNumber(message.messageTimestamp ?? 0),
    push_name: message.pushName ?? null,
    type: TYPES[contentType] ?? 'unknown',
    text: textOf(content)
  }
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

/** @param {proto.IMessage} content */
function textOf(content) {
  return content.conversation ?? content.extendedTextMessage?.text ?? content.imageMessage?.caption ?? content.videoMessage?.caption ??
    content.documentMessage?.caption ?? content.reactionMessage?.text ?? null
}
