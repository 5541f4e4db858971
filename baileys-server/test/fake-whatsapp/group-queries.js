/** The w:g2 queries: a group's metadata, and all groups that a device is in. */
import { changeGroup } from './group-changes.js'
import { firstChild, iqError, iqResult, node, nowSeconds } from './stanza.js'

/** @typedef {import('./device.js').Device} Device */
/** @typedef {import('./registry.js').Group} Group */
/** @typedef {import('./world.js').World} World */
/** @typedef {import('./stanza.js').BinaryNode} BinaryNode */

/**
 * @param {World} world
 * @param {Device} device
 * @param {BinaryNode} iq
 * @returns {BinaryNode | undefined} undefined: it isn't known
 */
export function answerGroupQuery(world, device, iq) {
  if (firstChild(iq)?.tag === 'participating') {
    const mine = [...world.registry.groups.values()].filter(group => group.members.has(device.user))
    return iqResult(iq, [node('groups', {}, mine.map(groupNode))])
  }
  if (iq.attrs.type !== 'get') return changeGroup(world, device, iq)
  const asked = firstChild(iq)
  if (asked?.tag === 'invite' && asked.attrs.code) {
    const invited = world.registry.groupByInvite(asked.attrs.code)
    return invited ? iqResult(iq, [groupNode(invited)]) : iqError(iq, 410, 'gone')
  }
  const group = world.registry.groups.get(iq.attrs.to)
  if (!group) return iqError(iq, 404, 'item-not-found')
  if (!group.members.has(device.user)) return iqError(iq, 403, 'forbidden')
  return answerMember(device, iq, group)
}

/**
 * @param {Device} device
 * @param {BinaryNode} iq
 * @param {Group} group
 */
function answerMember(device, iq, group) {
  switch (firstChild(iq)?.tag) {
    case 'query': return iqResult(iq, [groupNode(group)])
    case 'invite': return group.admins.has(device.user) ? iqResult(iq, [node('invite', { code: group.inviteCode })]) : iqError(iq, 401, 'not-authorized')
    case 'membership_approval_requests': return iqResult(iq, [node('membership_approval_requests', {}, [...group.requests].map(([user, at]) =>
      node('membership_approval_request', { jid: user.lid, phone_number: user.pn, request_time: at, request_method: 'invite_link' })))])
    default: return undefined
  }
}

/** @param {Group} group */
export function groupNode(group) {
  const asLid = group.addressing === 'lid'
  const participants = [...group.members].map(member =>
    node('participant', {
      jid: member.jidAs(asLid),
      phone_number: asLid ? member.pn : undefined,
      lid: asLid ? undefined : member.lid,
      type: member === group.owner ? 'superadmin' : group.admins.has(member) ? 'admin' : undefined,
    })
  )
  const attrs = {
    id: group.jid.split('@')[0],
    subject: group.subject,
    s_t: nowSeconds(),
    s_o: group.owner.jidAs(asLid),
    creation: String(group.createdAt),
    creator: group.owner.jidAs(asLid),
    creator_pn: group.owner.pn,
    size: String(group.members.size),
    addressing_mode: group.addressing,
  }
  return node('group', attrs, [
    ...participants,
    ...(group.description ? [node('description', { id: group.description.id, participant: group.owner.jidAs(asLid), t: nowSeconds() }, [node('body', {}, Buffer.from(group.description.body))])] : []),
    ...(group.announce ? [node('announcement')] : []),
    ...(group.locked ? [node('locked')] : []),
    ...(group.approval ? [node('membership_approval_mode', {}, [node('group_join', { state: 'on' })])] : []),
    ...(group.ephemeral ? [node('ephemeral', { expiration: String(group.ephemeral) })] : []),
    node('member_add_mode', {}, Buffer.from(group.membersCanAdd ? 'all_member_add' : 'admin_add')),
  ])
}
