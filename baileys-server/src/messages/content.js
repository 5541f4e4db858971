import { randomBytes } from 'node:crypto'
import { generateWAMessageContent, generateWAMessageFromContent, getContentType, isJidGroup, isJidNewsletter, isJidStatusBroadcast, normalizeMessageContent, proto }
  from '@whiskeysockets/baileys'
import { ControlError } from '../connections/control-error.js'
import { baileysLogger } from '../log.js'
import { pictureFacts } from './pictures.js'

/**
 * From the messages of the control API (docs/internal-api.md) to what Baileys relays.
 *
 * @typedef {proto.IMessage} Content
 * @typedef {{id: string, from_me: boolean, participant: string | null, chat: string | null, message: Content | null}} Reference
 *   a message that is referred to; `chat` when it is in another chat, `message` when its content is needed and known
 * @typedef {Record<string, any> & {to: string, type: string}} OutgoingMessage as control/messages.js let it in
 *
 * @typedef {object} Tools
 * @property {string} userJid
 * @property {string} messageId
 * @property {(kind: import('./media.js').Kind, media: import('./media.js').MediaFile, how: {open: boolean}) => Promise<Record<string, unknown>>} upload
 * @property {(file: string) => string} path of a file in the media folder
 * @property {import('../log.js').Logger} log
 *
 * @typedef {{content: Content, relay: {additionalAttributes?: Record<string, string>, additionalNodes?: any[], statusJidList?: string[]}}} Made
 */

/** @type {Record<string, (message: OutgoingMessage, tools: Tools) => Promise<Content>>} */
const CONTENTS = {
  text: async (message, tools) => baileysContent({
    text: message.text, linkPreview: await linkPreview(message, tools) }, tools, { backgroundColor: message.background_color, font: message.font }),
  image: async (message, tools) => ({ imageMessage: { ...await media('image', message, tools), caption: message.caption } }),
  video: async (message, tools) => ({
    videoMessage: { ...await media('video', message, tools), caption: message.caption, gifPlayback: message.gif || undefined }
  }),
  audio: async (message, tools) => ({ audioMessage: { ...await media('audio', message, tools), ptt: false } }),
  voice: async (message, tools) => ({ audioMessage: { ...await media('voice', message, tools), ptt: true } }),
  document: async (message, tools) => {
    const { file_name: fileName, caption } = message
    return { documentMessage: { ...await media('document', message, tools), fileName, title: fileName, caption } }
  },
  sticker: async (message, tools) => ({ stickerMessage: await media('sticker', message, tools) }),
  location: async ({ latitude, longitude, name, address }) => ({
    locationMessage: { degreesLatitude: latitude, degreesLongitude: longitude, name, address }
  }),
  contact: ({ contacts }, tools) => {
    const cards = contacts.map((/** @type {{name: string, vcard: string}} */ { name, vcard }) => ({ displayName: name, vcard }))
    return baileysContent({ contacts: { displayName: contacts.length === 1 ? cards[0].displayName : `${contacts.length} contacts`, contacts: cards } }, tools)
  },
  poll: ({ name, options, selectable_count: selectableCount }, tools) =>
    baileysContent({ poll: { name, values: options, selectableCount } }, tools),
  reaction: ({ to, target, emoji }, tools) => baileysContent({ react: { key: keyOf(target, to), text: emoji } }, tools),
  edit: async ({ to, target, text }, tools) => ({
    protocolMessage: {
      ...(await baileysContent({ text: '', edit: keyOf(target, to) }, tools)).protocolMessage,
      editedMessage: edited(target.message, text)
    }
  }),
  delete: ({ to, target }, tools) => baileysContent({ delete: keyOf(target, to) }, tools),
  forward: ({ target }, tools) => baileysContent({ forward: { key: { fromMe: false }, message: forwardable(target.message) }, force: true }, tools)
}

/**
 * @param {OutgoingMessage} message
 * @param {Tools} tools
 * @returns {Promise<Made>}
 */
export async function makeContent(message, tools) {
  const content = await CONTENTS[message.type](message, tools)
  // What Baileys adds to the other types: it lets WhatsApp check a report of abuse.
  if (message.media) content.messageContextInfo = { messageSecret: randomBytes(32) }
  if (message.mentions?.length) mention(content, message.mentions)
  const quoted = message.quoted && quotedMessage(message.quoted, message.to)
  const { userJid, messageId } = tools
  const whole = generateWAMessageFromContent(message.to, content, { userJid, messageId, quoted })
  return { content: /** @type {Content} */ (whole.message), relay: relayOptions(message, tools) }
}

/** Whether Baileys' own sending would say so too, in `sendMessage`. @param {OutgoingMessage} message @param {Tools} tools */
export function relayOptions({ type, to, target, recipients }, { userJid }) {
  switch (type) {
    // Others' messages are deleted by an admin of the group.
    case 'delete': return { additionalAttributes: { edit: isJidGroup(to) && !target.from_me ? '8' : '7' } }
    case 'edit': return { additionalAttributes: { edit: '1' } }
    case 'poll': return { additionalNodes: [{ tag: 'meta', attrs: { polltype: 'creation' } }] }
    default: return recipients ? { statusJidList: [...new Set([...recipients, userJid.replace(/:\d+@/, '@')])] } : {}
  }
}

/**
 * @param {object} content what Baileys' `sendMessage` takes
 * @param {Tools} tools
 * @param {object} [options]
 * @returns {Promise<Content>}
 */
function baileysContent(content, { userJid, messageId, log }, options = {}) {
  return generateWAMessageContent(/** @type {any} */ (content), /** @type {any} */ ({ userJid, messageId, logger: baileysLogger(log), ...options }))
}

/**
 * @param {import('./media.js').Kind} kind
 * @param {OutgoingMessage} message
 * @param {Tools} tools
 * @returns {Promise<any>}
 */
async function media(kind, { to, media, thumbnail }, { upload }) {
  const fields = await upload(kind, media, { open: Boolean(isJidNewsletter(to)) })
  return thumbnail ? { ...fields, jpegThumbnail: Buffer.from(thumbnail, 'base64') } : fields
}

/** @param {OutgoingMessage} message @param {Tools} tools */
async function linkPreview({ link_preview: preview }, { path, log }) {
  if (!preview) return null
  const { url, title, description, thumbnail, thumbnail_file: file } = preview
  const jpegThumbnail = thumbnail ? Buffer.from(thumbnail, 'base64') : file && (await pictureFacts(path(file), log)).jpegThumbnail
  return { 'canonical-url': url, 'matched-text': url, title, description, jpegThumbnail }
}

/**
 * An edit is the message once more with another text: the text itself, or the caption of a picture.
 * @param {Content | null} original
 * @param {string} text
 * @returns {Content}
 */
function edited(original, text) {
  const content = normalizeMessageContent(original)
  const type = content && getContentType(content)
  const withCaption = type === 'imageMessage' || type === 'videoMessage' || type === 'documentMessage'
  return content && withCaption ? { [type]: { ...content[type], caption: text } } : { extendedTextMessage: { text } }
}

/** @param {Content} content @param {string[]} mentionedJid */
function mention(content, mentionedJid) {
  const type = getContentType(content)
  const inner = type && /** @type {any} */ (content[type])
  if (inner) inner.contextInfo = { ...inner.contextInfo, mentionedJid }
}

/** @param {Reference} reference @param {string} to */
function keyOf({ id, from_me: fromMe, participant, chat }, to) {
  const place = chat ?? to
  return { remoteJid: place, id, fromMe, ...(participant && (isJidGroup(place) || isJidStatusBroadcast(place)) ? { participant } : {}) }
}

/** @param {Reference} reference @param {string} to @returns {any} */
function quotedMessage(reference, to) {
  const author = reference.participant ?? reference.chat ?? to
  return { key: { ...keyOf(reference, to), participant: author }, message: onlyContent(reference.message) }
}

/** @param {Content | null} message */
function forwardable(message) {
  const content = onlyContent(message)
  if (getContentType(content) === 'protocolMessage' || content.reactionMessage || content.pollUpdateMessage) {
    throw new ControlError('message_not_forwardable', 'This kind of message can not be forwarded.')
  }
  return content
}

/**
 * What a person sees of a message: not the sender key that came along, nor the secrets of its author.
 * @param {Content | null} message
 * @returns {Content}
 */
function onlyContent(message) {
  const content = normalizeMessageContent(message)
  const type = content && getContentType(content)
  if (!content || !type) throw new ControlError('message_not_found', 'The content of the message is not known.')
  return proto.Message.fromObject({ [type]: content[type] })
}
