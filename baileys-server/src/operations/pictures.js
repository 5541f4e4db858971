import { S_WHATSAPP_NET } from '@whiskeysockets/baileys'
import { ControlError } from '../connections/control-error.js'

const NOT_FOUND = 404
/** Hidden by its owner's privacy: 401 says so of a contact, 403 of a group that this account isn't in. */
const HIDDEN = [401, 403]

/**
 * @param {any} sock
 * @param {string} jid of a contact, a group or this account
 * @param {'preview' | 'image'} size
 * @returns {Promise<{url: string | null, hidden: boolean}>}
 */
export async function pictureOf(sock, jid, size) {
  try {
    return { url: await sock.profilePictureUrl(jid, size) ?? null, hidden: false }
  } catch (error) {
    const code = /** @type {any} */ (error).data
    if (code === NOT_FOUND) return { url: null, hidden: false }
    if (HIDDEN.includes(code)) return { url: null, hidden: true }
    throw error
  }
}

/**
 * Baileys' own `updateProfilePicture` needs a library for images that isn't among its dependencies: a JPEG goes as it is.
 * @param {any} sock
 * @param {Buffer | null} jpeg null removes the picture
 * @param {string} [target] a group; without it, the account itself
 */
export async function setPicture(sock, jpeg, target) {
  const attrs = { to: S_WHATSAPP_NET, type: 'set', xmlns: 'w:profile:picture', ...(target ? { target } : {}) }
  await sock.query({ tag: 'iq', attrs, ...(jpeg ? { content: [{ tag: 'picture', attrs: { type: 'image' }, content: jpeg }] } : {}) })
}

/** @param {string} base64 */
export function jpegOf(base64) {
  const bytes = Buffer.from(base64, 'base64')
  // Every JPEG begins so.
  if (bytes.length > 3 && bytes.readUIntBE(0, 3) === 0xffd8ff) return bytes
  throw new ControlError('invalid_request', 'picture must be a JPEG image in base64.')
}

/** Characters of base64; WhatsApp's own pictures of 640 x 640 have less than 100 KB. */
export const MOST_PICTURE = 700_000
