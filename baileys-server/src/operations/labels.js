import { chat, flag, integer, record, text } from './fields.js'
import { lidOf } from './addresses.js'

/** WhatsApp has twenty colours. */
const MOST_COLOR = 19
const label = text(1, 32)

/** @type {Record<string, import('./perform.js').Operation>} */
export const labelOperations = {
  'labels.save': {
    takes: record({ label_id: label, name: text(1, 100), color: integer(0, MOST_COLOR) }),
    async run({ sock, directory }, { label_id: id, name, color }) {
      await sock.addLabel('', { id, name, color, deleted: false })
      directory.change('label', id, { name, color })
    }
  },
  'labels.remove': {
    takes: record({ label_id: label, name: text(0, 100), color: integer(0, MOST_COLOR) }),
    async run({ sock, directory }, { label_id: id, name, color }) {
      await sock.addLabel('', { id, name, color, deleted: true })
      directory.remove('label', id)
    }
  },
  'labels.assign': {
    takes: record({ label_id: label, chat, assigned: flag }),
    async run({ sock, directory }, { label_id: id, chat: jid, assigned }) {
      const address = await lidOf(sock, jid)
      await (assigned ? sock.addChatLabel(address, id) : sock.removeChatLabel(address, id))
      directory.label(id, jid, assigned)
    }
  },
  'labels.assign_message': {
    takes: record({ label_id: label, chat, message_id: text(1, 128), assigned: flag }),
    async run({ sock }, { label_id: id, chat: jid, message_id: messageId, assigned }) {
      const address = await lidOf(sock, jid)
      await (assigned ? sock.addMessageLabel(address, messageId, id) : sock.removeMessageLabel(address, messageId, id))
    }
  }
}
