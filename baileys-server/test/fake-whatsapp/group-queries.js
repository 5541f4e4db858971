/** The w:g2 queries: a group's metadata, and all groups that a device is in. */
import { firstChild, iqError, iqResult, node, nowSeconds } from './stanza.js'

/** @typedef {import('./device.js').Device} Device */
/** @typedef {import('./registry.js').Group} Group */
/** @typedef {import('./world.js').World} World */
/** @typedef {import('./stanza.js').BinaryNode} BinaryNode */

/**
 * @param {World} world
 * @param {Device} device
 * @param {BinaryNode} iq
 */
export function answerGroupQuery(world, device, iq) {
  if (firstChild(iq)?.tag === 'participating') {
    const mine = [...world.registry.groups.values()].filter(group => group.members.has(device.user))
    return iqResult(iq, [node('groups', {}, mine.map(groupNode))])
  }
  if (iq.attrs.type !== 'get') return iqResult(iq)
  const group = world.registry.groups.get(iq.attrs.to)
  if (!group) return iqError(iq, 404, 'item-not-found')
  return group.members.has(device.user) ? iqResult(iq, [groupNode(group)]) : iqError(iq, 403, 'forbidden')
}

/** @param {Group} group */
function groupNode(group) {
  const asLid = group.addressing === 'lid'
  const participants = [...group.members].map(member =>
    node('participant', {
      jid: member.jidAs(asLid),
      phone_number: asLid ? member.pn : undefined,
      lid: asLid ? undefined : member.lid,
      type: member === group.owner ? 'superadmin' : undefined,
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
  return node('group', attrs, participants)
}
