/** Reading and building WhatsApp's binary XML nodes. */
import {
  getBinaryNodeChild,
  getBinaryNodeChildBuffer,
  getBinaryNodeChildren,
  jidDecode,
} from '@whiskeysockets/baileys'

/** @typedef {import('@whiskeysockets/baileys').BinaryNode} BinaryNode */

/** The server itself as a sender: a JID without a user. */
export const SERVER_JID = '@s.whatsapp.net'
export const GROUP_SERVER = 'g.us'

/**
 * @param {string} tag
 * @param {Record<string, string | undefined>} [attrs] undefined values are left out
 * @param {BinaryNode['content']} [content]
 * @returns {BinaryNode}
 */
export function node(tag, attrs = {}, content = undefined) {
  const present = Object.entries(attrs).filter(([, value]) => value !== undefined)
  return { tag, attrs: /** @type {Record<string, string>} */ (Object.fromEntries(present)), content }
}

/**
 * @param {BinaryNode | undefined} parent
 * @param {string} tag
 */
export const child = (parent, tag) => getBinaryNodeChild(parent, tag)

/**
 * @param {BinaryNode | undefined} parent
 * @param {string} tag
 */
export const children = (parent, tag) => getBinaryNodeChildren(parent, tag)

/**
 * The bytes inside a child, or undefined when the child is absent or holds none.
 *
 * @param {BinaryNode | undefined} parent
 * @param {string} tag
 * @returns {Buffer | undefined}
 */
export function bytes(parent, tag) {
  const found = getBinaryNodeChildBuffer(parent, tag)
  return found && Buffer.from(found)
}

/**
 * A child's bytes as a big-endian unsigned integer.
 *
 * @param {BinaryNode | undefined} parent
 * @param {string} tag
 */
export function uint(parent, tag) {
  const found = bytes(parent, tag)
  return found?.length ? found.readUIntBE(0, found.length) : undefined
}

/**
 * @param {number} value
 * @param {number} length in bytes
 */
export function bigEndian(value, length) {
  const buffer = Buffer.alloc(length)
  buffer.writeUIntBE(value, 0, length)
  return buffer
}

/** @param {BinaryNode} parent */
export const firstChild = parent => (Array.isArray(parent.content) ? parent.content[0] : undefined)

/**
 * @param {BinaryNode} iq
 * @param {BinaryNode[]} [content]
 */
export function iqResult(iq, content) {
  return node('iq', { from: iq.attrs.to || SERVER_JID, type: 'result', id: iq.attrs.id }, content)
}

/**
 * @param {BinaryNode} iq
 * @param {number} code
 * @param {string} text
 */
export function iqError(iq, code, text) {
  return node('iq', { from: iq.attrs.to || SERVER_JID, type: 'error', id: iq.attrs.id }, [
    node('error', { code: String(code), text }),
  ])
}

/** WhatsApp counts time in whole seconds. */
export const nowSeconds = () => String(Math.floor(Date.now() / 1000))

/** @param {string | undefined} jid */
export const isGroup = jid => Boolean(jid?.endsWith('@' + GROUP_SERVER))

/** Posts for contacts; like a group that has other readers each time. */
export const isStatus = (/** @type {string | undefined} */ jid) => jid === 'status@broadcast'

/** @param {string | undefined} jid */
export const isChannel = jid => Boolean(jid?.endsWith('@newsletter'))

/** @param {string | undefined} jid */
export const isLid = jid => Boolean(jid?.endsWith('@lid'))

/** @param {string | undefined} jid */
export function parseJid(jid) {
  const decoded = jid ? jidDecode(jid) : undefined
  return decoded && { user: decoded.user, server: String(decoded.server), device: decoded.device ?? 0 }
}

/**
 * @param {number | undefined} code
 * @param {BinaryNode[]} [content]
 */
export const streamError = (code, content) => node('stream:error', { code: code === undefined ? undefined : String(code) }, content)

/** @param {string} type `replaced` or `device_removed` */
export const conflict = type => [node('conflict', { type })]
