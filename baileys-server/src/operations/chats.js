import { chat, flag, integer, list, oneOf, optional, record, text, user } from './fields.js'
import { lidOf } from './addresses.js'

/**
 * The newest message of a chat, which WhatsApp wants to be told with most changes of it: the phone applies them only up to
 * there.
 *
 * @typedef {import('../connections/directory.js').LastMessage} LastMessage
 */
const lastMessage = record({ id: text(1, 128), from_me: flag, participant: optional(user), timestamp: integer(0, 1e11) })

/** `mute` takes `until`, milliseconds since 1970, or -1 for ever. */
const CHANGES = /** @type {const} */ (['archive', 'unarchive', 'pin', 'unpin', 'mute', 'unmute', 'mark_read', 'mark_unread'])
const FOR_EVER = -1

/** @type {Record<string, import('./perform.js').Operation>} */
export const chatOperations = {
  'chats.read': {
    takes: record({ chat, messages: list(record({ message_id: text(1, 128), participant: optional(user) }), 1, 500) }),
    async run({ sock, directory }, { chat: jid, messages }) {
      await sock.readMessages(messages.map((/** @type {any} */ each) => ({ remoteJid: jid, id: each.message_id, participant: each.participant, fromMe: false })))
      directory.change('chat', jid, { unread_count: 0, marked_unread: false })
    }
  },
  'chats.modify': {
    takes: record({ chat, change: oneOf(...CHANGES), until: optional(integer(FOR_EVER, 1e14)), last_message: optional(lastMessage) }),
    async run({ sock, directory }, { chat: jid, change, until, last_message: stored }) {
      const address = await lidOf(sock, jid)
      const last = directory.lastMessage(jid) ?? stored
      const { modification, known } = modify(change, until, last ? [messageOf(address, last)] : undefined)
      // Whoever wrote sees that it was read only by a receipt.
      if (change === 'mark_read' && last && !last.from_me) await sock.readMessages([messageOf(jid, last).key])
      await sock.chatModify(modification, address)
      directory.change('chat', jid, known)
    }
  }
}

/**
 * @param {typeof CHANGES[number]} change
 * @param {number | undefined} until
 * @param {any[] | undefined} lastMessages
 * @returns {{modification: any, known: Record<string, unknown>}} for Baileys, and what is known of the chat afterwards
 */
function modify(change, until, lastMessages) {
  switch (change) {
    case 'archive': case 'unarchive': {
      const archived = change === 'archive'
      return { modification: { archive: archived, lastMessages }, known: { archived, ...(archived ? { pinned_at: null } : {}) } }
    }
    case 'pin': case 'unpin': {
      const pin = change === 'pin'
      return { modification: { pin }, known: { pinned_at: pin ? Date.now() : null } }
    }
    case 'mute': return { modification: { mute: until ?? FOR_EVER }, known: { muted_until: until ?? FOR_EVER } }
    case 'unmute': return { modification: { mute: null }, known: { muted_until: null } }
    case 'mark_read': return { modification: { markRead: true, lastMessages }, known: { unread_count: 0, marked_unread: false } }
    case 'mark_unread': return { modification: { markRead: false, lastMessages }, known: { marked_unread: true } }
  }
}

/** @param {string} remoteJid @param {LastMessage} last */
function messageOf(remoteJid, { id, from_me: fromMe, participant, timestamp }) {
  return { key: { remoteJid, id, fromMe, participant: participant ?? undefined }, messageTimestamp: timestamp }
}
