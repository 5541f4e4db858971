import { chat, oneOf, record } from './fields.js'
import { refused } from './failure.js'

/** @type {Record<string, import('./perform.js').Operation>} */
export const presenceOperations = {
  'presence.set': {
    takes: record({ presence: oneOf('available', 'unavailable') }),
    async run({ sock }, { presence }) {
      // Baileys drops it silently, and WhatsApp knows presence only by a name.
      if (!sock.authState.creds.me?.name) throw refused(400, 'the account has no name yet')
      await sock.sendPresenceUpdate(presence)
    }
  },
  'presence.chat': {
    takes: record({ chat, state: oneOf('composing', 'recording', 'paused') }),
    run: ({ sock }, { chat: jid, state }) => sock.sendPresenceUpdate(state, jid)
  },
  'presence.subscribe': {
    takes: record({ chat }),
    run: ({ sock }, { chat: jid }) => sock.presenceSubscribe(jid)
  }
}
