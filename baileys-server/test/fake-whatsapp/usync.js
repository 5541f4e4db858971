/** The usync query: which devices a user has, its LID, and whether a number is on WhatsApp. */
import { digits } from './registry.js'
import { child, children, firstChild, iqResult, isLid, node } from './stanza.js'

/** @typedef {import('./user.js').User} User */
/** @typedef {import('./world.js').World} World */
/** @typedef {import('./stanza.js').BinaryNode} BinaryNode */

/**
 * @param {World} world
 * @param {BinaryNode} iq
 */
export function answerUsync(world, iq) {
  const usync = firstChild(iq)
  const query = child(usync, 'query')
  const protocols = (Array.isArray(query?.content) ? query.content : []).map(each => each.tag)
  if (protocols.includes('contact')) world.violations.count('number_queries')
  const users = children(child(usync, 'list'), 'user').map(asked => answerUser(world, protocols, asked))
  return iqResult(iq, [node('usync', usync?.attrs, [node('result'), node('list', {}, users)])])
}

/**
 * @param {World} world
 * @param {string[]} protocols
 * @param {BinaryNode} asked by jid, or by phone number inside a contact node
 */
function answerUser(world, protocols, asked) {
  const number = child(asked, 'contact')?.content
  const phone = number && digits(Buffer.from(/** @type {Uint8Array} */ (number)).toString())
  const user = phone ? world.registry.byPhone.get(phone) : world.registry.userOf(asked.attrs.jid)
  const jid = asked.attrs.jid ?? user?.pn ?? `${phone}@s.whatsapp.net`
  return node('user', { jid }, protocols.flatMap(protocol => answerProtocol(protocol, user, jid, number)))
}

/**
 * @param {string} protocol
 * @param {User | undefined} user
 * @param {string} jid
 * @param {BinaryNode['content']} number as it was asked for, which comes back
 * @returns {BinaryNode[]}
 */
function answerProtocol(protocol, user, jid, number) {
  if (protocol === 'contact') return [node('contact', { type: user ? 'in' : 'out' }, number)]
  if (!user) return []
  if (protocol === 'status') return [node('status', { t: user.about?.at ?? '0' }, user.about && Buffer.from(user.about.text))]
  if (protocol === 'devices') return [node('devices', {}, [deviceList(user)])]
  // Without a LID the client asks for no session, and its send fails.
  if (protocol === 'lid' && !isLid(jid)) return [node('lid', { val: user.lid })]
  return []
}

/** @param {User} user */
function deviceList(user) {
  const companions = [...user.companions.keys()]
  return node('device-list', {}, [
    node('device', { id: '0' }),
    ...companions.map(id => node('device', { id: String(id), 'key-index': String(id) })),
  ])
}
