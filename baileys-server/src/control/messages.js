import { invalid, objectOf, ok, route } from './request.js'

const MAX_TEXT_CHARACTERS = 65_536

/**
 * @param {import('../control-api.js').Parts} parts
 * @returns {import('./request.js').Route[]}
 */
export function messageRoutes({ registry }) {
  return [
    route('POST', '/v1/sessions/{ref}/messages', async ({ sessionRef, body }) => {
      const message = messageOf(body)
      const fixed = fixedIdOf(body)
      const connection = registry.getForSend(sessionRef)
      if (fixed === null) return ok({ message_id: await connection.send(message), to: message.to })
      const acknowledged = await connection.sendOnce({ ...message, ...fixed })
      return ok({ message_id: fixed.messageId, to: message.to, acknowledged })
    })
  ]
}

/**
 * @param {any} body
 * @returns {{messageId: string, again: boolean} | null} null when the id is made here
 */
function fixedIdOf({ message_id: messageId, again = false }) {
  if (messageId === undefined) return null
  if (typeof messageId !== 'string' || !/^3EB0[0-9A-F]{18}$/.test(messageId)) throw invalid('message_id must be 3EB0 and 18 hexadecimal digits.')
  if (typeof again !== 'boolean') throw invalid('again must be true or false.')
  return { messageId, again }
}

/** @param {any} body */
function messageOf(body) {
  const { to, type, text } = objectOf(body)
  if (typeof to !== 'string' || !/^(\d{5,20}@(s\.whatsapp\.net|lid)|[\d-]{5,40}@g\.us)$/.test(to)) {
    throw invalid('to must be the JID of a contact (@s.whatsapp.net, @lid) or of a group (@g.us).')
  }
  if (type !== 'text') throw invalid('type must be text.')
  if (typeof text !== 'string' || text === '' || text.length > MAX_TEXT_CHARACTERS) {
    throw invalid(`text must be 1 to ${MAX_TEXT_CHARACTERS} characters.`)
  }
  return { to, text }
}
