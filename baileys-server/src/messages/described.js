import { getContentType, jidNormalizedUser, normalizeMessageContent, proto, toNumber } from '@whiskeysockets/baileys'
import { mediaIn } from './media.js'

/**
 * What a message says, typed, as docs/internal-api.md has it: the fields of an event beyond who wrote it and where.
 * A field that a message doesn't have is left out, but for `type` and `text`.
 *
 * @typedef {proto.IMessage} Content
 * @typedef {Record<string, unknown> & {type: string, text: string | null}} Description
 */

const { REVOKE, MESSAGE_EDIT } = proto.Message.ProtocolMessage.Type
/** What isn't told: keys, settings and history between a phone and its devices. */
const NOTHING = null
const MOST_PHONES = 20

/** @type {Record<string, (content: any, message: Content) => Description | null>} by the field of the message that is set */
const DESCRIPTIONS = {
  conversation: text => ({ type: 'text', text }),
  extendedTextMessage: ({ text, title, description, matchedText }) => ({
    type: 'text', text: text ?? null, ...(title ? { link_preview: given({ url: matchedText, title, description }) } : {})
  }),
  imageMessage: media,
  videoMessage: media,
  ptvMessage: media,
  audioMessage: media,
  documentMessage: media,
  stickerMessage: media,
  contactMessage: card => contacts([card]),
  contactsArrayMessage: ({ contacts: cards }) => contacts(cards ?? []),
  locationMessage: location,
  liveLocationMessage: content => location(content, true),
  pollCreationMessage: poll,
  pollCreationMessageV2: poll,
  pollCreationMessageV3: poll,
  pollUpdateMessage: ({ pollCreationMessageKey: key }) => ({ type: 'poll_vote', text: null, target: target(key) }),
  reactionMessage: ({ key, text }) => ({ type: 'reaction', text: text || null, target: target(key) }),
  protocolMessage({ type, key, editedMessage }) {
    if (type === REVOKE) return { type: 'delete', text: null, target: target(key) }
    if (type !== MESSAGE_EDIT) return NOTHING
    return { type: 'edit', text: describe(editedMessage)?.text ?? null, target: target(key) }
  },
  // These carry others, or keys.
  senderKeyDistributionMessage: () => NOTHING,
  messageContextInfo: () => NOTHING
}

/**
 * @param {Content | null | undefined} message
 * @returns {Description | null} null when there is nothing in it for a person
 */
export function describe(message) {
  const content = normalizeMessageContent(message)
  const type = content && getContentType(content)
  if (!content || !type) return NOTHING
  const inner = /** @type {any} */ (content)[type]
  const describeIt = DESCRIPTIONS[type]
  const description = describeIt ? describeIt(inner, content) : { type: 'unknown', text: null }
  return description && { ...description, ...context(inner?.contextInfo) }
}

/** Whether others may quote it, forward it or open its media: what it says itself, not what it does to another. @param {{type: string}} description */
export function isOfItsOwn({ type }) {
  return !['reaction', 'edit', 'delete', 'poll_vote'].includes(type)
}

/** @param {proto.IContextInfo | null | undefined} info */
function context(info) {
  if (!info) return {}
  const { stanzaId, participant, quotedMessage, mentionedJid, isForwarded, expiration } = info
  const quoted = stanzaId ? { quoted: { message_id: stanzaId, sender: jidOrNull(participant), ...quotedContent(quotedMessage) } } : {}
  return {
    ...quoted,
    ...(mentionedJid?.length ? { mentions: mentionedJid } : {}),
    ...(isForwarded ? { forwarded: true } : {}),
    ...(expiration ? { expires_after: toNumber(expiration) } : {})
  }
}

/** @param {Content | null | undefined} message */
function quotedContent(message) {
  const { type = null, text = null } = (message && describe({ ...message })) ?? {}
  return { type, text }
}

/** @param {any} _content @param {Content} message @returns {Description} */
function media(_content, message) {
  const { kind, media } = /** @type {NonNullable<ReturnType<typeof mediaIn>>} */ (mediaIn(message))
  return {
    type: kind,
    text: media.caption || null,
    media: given({
      kind,
      mimetype: media.mimetype || 'application/octet-stream',
      size: media.fileLength ? toNumber(media.fileLength) : undefined,
      file_name: media.fileName,
      seconds: media.seconds,
      width: media.width,
      height: media.height,
      gif: media.gifPlayback || undefined,
      animated: media.isAnimated || undefined
    })
  }
}

/** @param {{displayName?: string | null, vcard?: string | null}[]} cards @returns {Description} */
function contacts(cards) {
  return {
    type: 'contact',
    text: null,
    contacts: cards.map(({ displayName, vcard }) => ({ name: displayName ?? '', phones: phonesIn(vcard ?? ''), vcard: vcard ?? '' }))
  }
}

/** @param {string} vcard */
function phonesIn(vcard) {
  const lines = vcard.split(/\r?\n/).filter(line => /^([\w-]+\.)?TEL[;:]/i.test(line))
  return lines.slice(0, MOST_PHONES).map(line => line.slice(line.lastIndexOf(':') + 1).trim())
}

/** @param {any} content @param {unknown} [live] @returns {Description} */
function location({ degreesLatitude, degreesLongitude, name, address, caption }, live) {
  const place = { latitude: degreesLatitude ?? 0, longitude: degreesLongitude ?? 0, name, address, live: live === true || undefined }
  return { type: 'location', text: caption || null, location: given(place) }
}

/** @param {any} content @returns {Description} */
function poll({ name, options, selectableOptionsCount }) {
  const names = (options ?? []).map((/** @type {any} */ { optionName }) => optionName ?? '')
  return { type: 'poll', text: name ?? null, poll: { name: name ?? '', options: names, selectable_count: selectableOptionsCount ?? 0 } }
}

/** The message that this one is about. @param {proto.IMessageKey | null | undefined} key */
function target(key) {
  return { message_id: key?.id ?? '', from_me: Boolean(key?.fromMe), sender: jidOrNull(key?.participant) }
}

/** @param {string | null | undefined} jid */
function jidOrNull(jid) {
  return jid ? jidNormalizedUser(jid) : null
}

/** Without what isn't there. @param {Record<string, unknown>} fields */
function given(fields) {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null && value !== ''))
}
