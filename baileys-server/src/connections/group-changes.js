import { isJidGroup, proto, toNumber, WAMessageStubType as Stub } from '@whiskeysockets/baileys'
import { safeError } from '../log.js'
import { addressesOf } from '../operations/addresses.js'

/**
 * What happens to groups. Baileys makes a message without content of each notification, and an event of its own of that;
 * the messages are read here, because of several events that Baileys holds back it keeps the first one only.
 *
 * @typedef {object} Parts
 * @property {(chat: string) => boolean} wants whether the owner wants to hear of this group
 * @property {(type: string, data: Record<string, unknown>) => void} report
 * @property {import('../log.js').Logger} log
 *
 * @typedef {{type: string, [field: string]: unknown}} Change
 */

/** @type {Record<number, string>} */
const ACTIONS = {
  [Stub.GROUP_PARTICIPANT_ADD]: 'add',
  [Stub.GROUP_PARTICIPANT_REMOVE]: 'remove',
  [Stub.GROUP_PARTICIPANT_LEAVE]: 'leave',
  [Stub.GROUP_PARTICIPANT_PROMOTE]: 'promote',
  [Stub.GROUP_PARTICIPANT_DEMOTE]: 'demote'
}

/** What a stub's first parameter says. @type {Record<number, (parameter: string | undefined) => Record<string, unknown>>} */
const CHANGES = {
  [Stub.GROUP_CHANGE_SUBJECT]: text => ({ subject: text ?? '' }),
  [Stub.GROUP_CHANGE_DESCRIPTION]: text => ({ description: text ?? null }),
  [Stub.GROUP_CHANGE_ANNOUNCE]: state => ({ announce: state === 'on' }),
  [Stub.GROUP_CHANGE_RESTRICT]: state => ({ locked: state === 'on' }),
  [Stub.GROUP_MEMBER_ADD_MODE]: mode => ({ members_can_add: mode === 'all_member_add' }),
  [Stub.GROUP_MEMBERSHIP_JOIN_APPROVAL_MODE]: state => ({ join_approval: state === 'on' }),
  [Stub.GROUP_CHANGE_INVITE_LINK]: code => ({ invite_code: code ?? null }),
  [Stub.GROUP_CHANGE_ICON]: id => ({ picture: id ? 'changed' : 'removed' })
}

/** @param {any} sock @param {Parts} parts */
export function tellGroupChanges(sock, { wants, report, log }) {
  /** Finding out whose LID it is takes time, and what happens to a group must stay in order. */
  let inOrder = Promise.resolve()
  sock.ev.on('messages.upsert', (/** @type {{messages: proto.IWebMessageInfo[]}} */ { messages }) => {
    for (const message of messages) {
      const group = message.key?.remoteJid
      if (!group || !isJidGroup(group) || !wants(group)) continue
      inOrder = inOrder.then(async () => {
        const change = await changeIn(sock, message)
        if (!change) return
        const { type, ...data } = change
        report(type, { group, ...data, author: await authorOf(sock, message.key) })
      }).catch(error => log.warn(safeError(error), 'group_change_not_told'))
    }
  })
}

/** @param {any} sock @param {proto.IWebMessageInfo} message @returns {Promise<Change | null>} */
async function changeIn(sock, { messageStubType: stub, messageStubParameters: parameters, message }) {
  const protocol = message?.protocolMessage
  if (protocol?.type === proto.Message.ProtocolMessage.Type.EPHEMERAL_SETTING) {
    return { type: 'group.updated', changes: { ephemeral_seconds: toNumber(protocol.ephemeralExpiration ?? 0) } }
  }
  if (!stub) return null
  if (ACTIONS[stub]) {
    return { type: 'group.participants', action: ACTIONS[stub], participants: await Promise.all((parameters ?? []).map(each => userOf(sock, each))) }
  }
  if (CHANGES[stub]) return { type: 'group.updated', changes: CHANGES[stub](parameters?.[0]) }
  if (stub === Stub.GROUP_CREATE) return { type: 'group.created', subject: parameters?.[0] ?? '' }
  if (stub === Stub.GROUP_MEMBERSHIP_JOIN_APPROVAL_REQUEST_NON_ADMIN_ADD && parameters) {
    const { lid, pn } = JSON.parse(parameters[0])
    return { type: 'group.join_request', action: parameters[1], participant: await addressesOf(sock, lid ?? pn, pn) }
  }
  return null
}

/** @param {any} sock @param {string} parameter JSON */
function userOf(sock, parameter) {
  const { id, phoneNumber, lid } = JSON.parse(parameter)
  return addressesOf(sock, id, phoneNumber ?? lid)
}

/** @param {any} sock @param {any} key of Baileys' message */
function authorOf(sock, { participant, participantAlt }) {
  return participant ? addressesOf(sock, participant, participantAlt) : null
}
