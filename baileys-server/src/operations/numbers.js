import { getBinaryNodeChild, getBinaryNodeChildren, jidNormalizedUser, S_WHATSAPP_NET } from '@whiskeysockets/baileys'
import { digits, list, record } from './fields.js'

/** @typedef {import('@whiskeysockets/baileys').BinaryNode} BinaryNode */

const MOST_NUMBERS = 500

/** @type {Record<string, import('./perform.js').Operation>} */
export const numberOperations = {
  'numbers.check': {
    takes: record({ numbers: list(digits, 1, MOST_NUMBERS) }),
    async run({ sock }, { numbers }) {
      const asked = [...new Set(/** @type {string[]} */ (numbers))]
      const answer = await sock.query(question(asked, sock.generateMessageTag()))
      const found = new Map(usersOf(answer).map(each => [each.number, each]))
      return { numbers: numbers.map((/** @type {string} */ number) => found.get(number) ?? absent(number)) }
    }
  }
}

/**
 * Baileys' own `onWhatsApp` leaves out which number each answer is for, and WhatsApp gives an account's true JID, which
 * may have other digits than the number that was asked for (Brazil's ninth).
 * @param {string[]} numbers
 * @param {string} sid
 */
function question(numbers, sid) {
  const users = numbers.map(number => node('user', {}, [node('contact', {}, Buffer.from(`+${number}`))]))
  const usync = node('usync', { context: 'interactive', mode: 'query', sid, last: 'true', index: '0' }, [
    node('query', {}, [node('contact'), node('lid')]),
    node('list', {}, users)
  ])
  return node('iq', { to: S_WHATSAPP_NET, type: 'get', xmlns: 'usync' }, [usync])
}

/** @param {BinaryNode} answer */
function usersOf(answer) {
  const usync = getBinaryNodeChild(answer, 'usync')
  return getBinaryNodeChildren(getBinaryNodeChild(usync, 'list'), 'user').map(user => {
    const contact = getBinaryNodeChild(user, 'contact')
    const number = Buffer.from(/** @type {any} */ (contact?.content ?? user.attrs.jid.split('@')[0])).toString().replace(/\D/g, '')
    if (contact?.attrs.type !== 'in') return absent(number)
    const lid = getBinaryNodeChild(user, 'lid')?.attrs.val
    return { number, exists: true, jid: jidNormalizedUser(user.attrs.jid), lid: lid ? jidNormalizedUser(lid) : null }
  })
}

/** @param {string} number */
const absent = number => ({ number, exists: false, jid: null, lid: null })

/**
 * @param {string} tag
 * @param {Record<string, string>} [attrs]
 * @param {BinaryNode['content']} [content]
 * @returns {BinaryNode}
 */
const node = (tag, attrs = {}, content = undefined) => ({ tag, attrs, content })
