import { proto } from '@whiskeysockets/baileys'
import { invalid, objectOf, ok, route } from './request.js'

/**
 * Sending, and the media of what was received.
 *
 * @param {import('../control-api.js').Parts} parts
 * @returns {import('./request.js').Route[]}
 */
export function messageRoutes({ registry }) {
  return [
    route('POST', '/v1/sessions/{ref}/messages', async ({ sessionRef, body }) => {
      const message = messageOf(body)
      const connection = registry.getForSend(sessionRef)
      return ok(await (message.again === undefined ? connection.send(message) : connection.sendOnce(message)))
    }),
    route('POST', '/v1/sessions/{ref}/media', async ({ sessionRef, body, signal }) => {
      const message = contentOf(objectOf(body).message, 'message')
      const { stream, mimetype } = await registry.get(sessionRef).download(message, signal)
      return { status: 200, headers: { 'content-type': mimetype }, stream }
    })
  ]
}

export const STATUS = 'status@broadcast'
const RECIPIENT = /^(\d{5,20}@(s\.whatsapp\.net|lid)|[\d-]{5,40}@g\.us)$/
const CHANNEL = /^\d{5,30}@newsletter$/
/** What can be posted to a channel: nothing there answers another message, or does something to one. */
const POSTS = ['text', 'image', 'video', 'audio', 'voice', 'document', 'sticker']
const MAX_TEXT = 65_536

/**
 * Checks of single fields: each says what it must be when it isn't that. Unknown fields are ignored.
 * @typedef {(value: any) => boolean} Check
 * @typedef {[check: Check, mustBe: string]} Field
 */

/** @type {(most: number, least?: number) => Field} */
const text = (most, least = 1) => [value => typeof value === 'string' && value.length >= least && value.length <= most, `must be ${least} to ${most} characters`]
/** @type {(lowest: number, highest: number) => Field} */
const number = (lowest, highest) => [value => Number.isFinite(value) && value >= lowest && value <= highest, `must be a number from ${lowest} to ${highest}`]
/** @type {(field: Field, most: number, least?: number) => Field} */
const list = ([check, mustBe], most, least = 1) => [value => Array.isArray(value) && value.length >= least && value.length <= most && value.every(check),
  `must be a list of ${least} to ${most}, each of which ${mustBe}`]
/** @type {(fields: Record<string, Field>, optional?: string[]) => Field} */
const object = (fields, optional = []) => [value => typeof value === 'object' && value !== null &&
  Object.entries(fields).every(([name, [check]]) => value[name] === undefined ? optional.includes(name) : check(value[name])),
`must be an object with ${Object.keys(fields).join(', ')}`]
/** @type {Field} */
const jid = [value => typeof value === 'string' && RECIPIENT.test(value), 'must be the JID of a contact (@s.whatsapp.net, @lid) or of a group (@g.us)']
/** Where a message that is referred to may be. @type {Field} */
const place = [value => jid[0](value) || value === STATUS || (typeof value === 'string' && CHANNEL.test(value)), `${jid[1]}, of a channel (@newsletter), or ${STATUS}`]
/** @type {Field} */
const flag = [value => typeof value === 'boolean', 'must be true or false']
/** @type {Field} */
const bytes = [value => typeof value === 'string' && /^[A-Za-z0-9+/]*={0,2}$/.test(value), 'must be base64']
/** @type {Field} */
const file = [value => typeof value === 'string' && /^[0-9A-Za-z_-]{1,64}$/.test(value), 'must be the name of a file in the media folder']
/** @type {Field} */
const reference = object({ id: text(128), from_me: flag, participant: jid, chat: place, message: bytes }, ['participant', 'chat', 'message'])

const media = object({ file, mimetype: text(200) })
const caption = text(MAX_TEXT, 0)
const preview = object({ url: text(2048), title: text(1000, 0), description: text(5000, 0), thumbnail: bytes, thumbnail_file: file },
  ['title', 'description', 'thumbnail', 'thumbnail_file'])
const picture = { media, caption, thumbnail: bytes }

/** Every type with its fields; the names of those that may be missing. @type {Record<string, [fields: Record<string, Field>, optional: string[]]>} */
const TYPES = {
  text: [{ text: text(MAX_TEXT), link_preview: preview, background_color: text(9), font: number(0, 20) }, ['link_preview', 'background_color', 'font']],
  image: [picture, ['caption', 'thumbnail']],
  video: [{ ...picture, gif: flag }, ['caption', 'thumbnail', 'gif']],
  audio: [{ media }, []],
  voice: [{ media }, []],
  document: [{ ...picture, file_name: text(255) }, ['caption', 'thumbnail']],
  sticker: [{ media }, []],
  location: [{ latitude: number(-90, 90), longitude: number(-180, 180), name: text(1000, 0), address: text(1000, 0) }, ['name', 'address']],
  contact: [{ contacts: list(object({ name: text(1000), vcard: text(MAX_TEXT) }), 100) }, []],
  poll: [{ name: text(1000), options: list(text(1000), 100, 2), selectable_count: number(0, 100) }, []],
  reaction: [{ target: reference, emoji: text(32, 0) }, []],
  edit: [{ target: reference, text: text(MAX_TEXT) }, []],
  delete: [{ target: reference }, []],
  forward: [{ target: reference }, []]
}
/** @type {Record<string, Field>} */
const COMMON = { message_id: text(128), describe: flag, mentions: list(jid, 1000, 0), quoted: reference, recipients: list(jid, 1000), again: flag }

/** @param {any} body @returns {import('../messages/content.js').OutgoingMessage} */
function messageOf(body) {
  const { to, type } = objectOf(body)
  const toChannel = typeof to === 'string' && CHANNEL.test(to)
  if (to !== STATUS && !toChannel && !jid[0](to)) throw invalid(`to ${jid[1]}, or of a channel (@newsletter).`)
  if (toChannel && (!POSTS.includes(type) || body.quoted)) throw invalid(`A channel takes ${POSTS.join(', ')}, and nothing is quoted there.`)
  if ((to === STATUS) !== Array.isArray(body.recipients)) throw invalid(`recipients must be given with ${STATUS}, and only then.`)
  const [fields, optional] = Object.hasOwn(TYPES, type) ? TYPES[type] : []
  if (!fields || !optional) throw invalid(`type must be one of ${Object.keys(TYPES).join(', ')}.`)
  /** @type {Record<string, any>} */
  const message = { to, type }
  const all = { ...COMMON, ...fields }
  for (const [name, [check, mustBe]] of Object.entries(all)) {
    const value = body[name] ?? undefined
    if (value === undefined ? !(name in COMMON) && !optional.includes(name) : !check(value)) throw invalid(`${name} ${mustBe}.`)
    if (value !== undefined) message[name] = value
  }
  if (message.again !== undefined && !message.message_id) throw invalid('again belongs to a message_id.')
  for (const name of ['target', 'quoted']) {
    if (message[name]) message[name] = referenceOf(message[name], name)
  }
  return /** @type {any} */ (message)
}

/** @param {any} given @param {string} name @returns {import('../messages/content.js').Reference} */
function referenceOf({ id, from_me, participant = null, chat = null, message }, name) {
  return { id, from_me, participant, chat, message: message === undefined ? null : contentOf(message, `${name}.message`) }
}

/** @param {any} value @param {string} name */
function contentOf(value, name) {
  try {
    if (bytes[0](value)) return proto.Message.decode(Buffer.from(value, 'base64'))
  } catch {
    // Said below.
  }
  throw invalid(`${name} must be a message, in base64.`)
}
