/** The w:g2 queries that change a group, and what its members' companions are told of it. */
import { randomBytes } from 'node:crypto'
import { ControlError } from './control-error.js'
import { groupNode } from './group-queries.js'
import { notificationKey } from './mailbox.js'
import { bytes, child, children, firstChild, iqError, iqResult, node, nowSeconds } from './stanza.js'

/** @typedef {import('./device.js').Device} Device */
/** @typedef {import('./registry.js').Group} Group */
/** @typedef {import('./user.js').User} User */
/** @typedef {import('./world.js').World} World */
/** @typedef {import('./stanza.js').BinaryNode} BinaryNode */

/**
 * What an admin may do to a group: makes the change, and gives the content of the answer.
 *
 * @typedef {{world: World, group: Group, act: BinaryNode}} Change
 * @type {Record<string, (change: Change) => BinaryNode[]>}
 */
const CHANGES = {
  subject: ({ group, act }) => set(() => { group.subject = String(textOf(act)) }),
  description: ({ group, act }) => set(() => {
    group.description = act.attrs.delete ? undefined : { id: act.attrs.id, body: bytes(act, 'body')?.toString() ?? '' }
  }),
  announcement: ({ group }) => set(() => { group.announce = true }),
  not_announcement: ({ group }) => set(() => { group.announce = false }),
  locked: ({ group }) => set(() => { group.locked = true }),
  unlocked: ({ group }) => set(() => { group.locked = false }),
  member_add_mode: ({ group, act }) => set(() => { group.membersCanAdd = textOf(act) === 'all_member_add' }),
  membership_approval_mode: ({ group, act }) => set(() => { group.approval = child(act, 'group_join')?.attrs.state === 'on' }),
  ephemeral: ({ group, act }) => set(() => { group.ephemeral = Number(act.attrs.expiration) }),
  not_ephemeral: ({ group }) => set(() => { group.ephemeral = 0 }),
  add: change => forEachParticipant(change, add),
  remove: change => forEachParticipant(change, ({ group }, user) => known(group, user) ?? void (group.members.delete(user), group.admins.delete(user))),
  promote: change => forEachParticipant(change, ({ group }, user) => known(group, user) ?? void group.admins.add(user)),
  demote: change => forEachParticipant(change, ({ group }, user) => known(group, user) ?? void group.admins.delete(user)),
  invite: ({ group }) => {
    group.inviteCode = randomBytes(8).toString('hex')
    return [node('invite', { code: group.inviteCode })]
  },
  membership_requests_action: answerRequests,
}

/**
 * @param {World} world
 * @param {Device} device
 * @param {BinaryNode} iq
 */
export function changeGroup(world, device, iq) {
  const act = firstChild(iq)
  if (!act) return iqError(iq, 400, 'bad-request')
  if (act.tag === 'create') return create(world, device, iq, act)
  if (act.tag === 'leave') return leave(world, device, iq, act)
  if (act.tag === 'invite' && act.attrs.code) return join(world, device, iq, act.attrs.code)
  const group = world.registry.groups.get(iq.attrs.to)
  const change = CHANGES[act.tag]
  if (!change) return undefined
  if (!group) return iqError(iq, 404, 'item-not-found')
  if (!mayChange(group, device.user, act.tag)) return iqError(iq, 403, 'forbidden')
  const concerned = [...group.members]
  const content = change({ world, group, act })
  world.seen.note('group', device.user.phone, { group: group.jid, change: act.tag })
  if (!['invite', 'membership_requests_action'].includes(act.tag)) tell(world, group, device.user, act, concerned)
  return iqResult(iq, content)
}

/**
 * A change that a member makes on its phone.
 *
 * @param {World} world
 * @param {User} from
 * @param {Group} group
 * @param {{change: string, participants?: User[], text?: string, attrs?: Record<string, string>}} order
 */
export function changeFromPhone(world, from, group, { change, participants = [], text, attrs = {} }) {
  if (!CHANGES[change] || !mayChange(group, from, change)) throw new ControlError(403, 'not_an_admin', `${from.phone} may not ${change}`)
  const asLid = group.addressing === 'lid'
  const named = participants.map(user => node('participant', { jid: user.jidAs(asLid), phone_number: user.pn }))
  const said = change === 'description' ? [node('body', {}, Buffer.from(text ?? ''))] : text
  const act = node(change, attrs, participants.length ? named : said)
  const concerned = [...group.members]
  CHANGES[change]({ world, group, act })
  tell(world, group, from, act, concerned)
}

/** @param {Group} group @param {User} user @param {string} change */
function mayChange(group, user, change) {
  if (group.admins.has(user)) return true
  if (!group.members.has(user)) return false
  return change === 'add' ? group.membersCanAdd : !group.locked && ['subject', 'description'].includes(change)
}

/** @param {World} world @param {Device} device @param {BinaryNode} iq @param {BinaryNode} act */
function create(world, device, iq, act) {
  if (!act.attrs.subject) return iqError(iq, 406, 'not-acceptable')
  const invited = children(act, 'participant').flatMap(({ attrs }) => world.registry.userOf(attrs.jid) ?? [])
  const jid = world.registry.createGroup(act.attrs.subject, [device.user, ...invited], 'lid')
  const group = world.registry.group(jid)
  world.seen.note('group', device.user.phone, { group: jid, change: 'create' })
  tell(world, group, device.user, node('create', {}, [groupNode(group)]))
  return iqResult(iq, [groupNode(group)])
}

/** @param {World} world @param {Device} device @param {BinaryNode} iq @param {BinaryNode} act */
function leave(world, device, iq, act) {
  const id = child(act, 'group')?.attrs.id ?? ''
  const group = world.registry.groups.get(id)
  if (!group?.members.delete(device.user)) return iqError(iq, 404, 'item-not-found')
  group.admins.delete(device.user)
  world.seen.note('group', device.user.phone, { group: id, change: 'leave' })
  return iqResult(iq, [node('leave', {}, [node('group', { id })])])
}

/** @param {World} world @param {Device} device @param {BinaryNode} iq @param {string} code */
function join(world, device, iq, code) {
  const group = world.registry.groupByInvite(code)
  if (!group) return iqError(iq, 410, 'gone')
  if (group.approval) group.requests.set(device.user, nowSeconds())
  else group.members.add(device.user)
  world.seen.note('group', device.user.phone, { group: group.jid, change: 'join' })
  return iqResult(iq, [node('group', { jid: group.jid })])
}

/** @param {Change} change */
function answerRequests({ world, group, act }) {
  const decision = /** @type {BinaryNode} */ (firstChild(act))
  const answers = children(decision, 'participant').map(({ attrs: { jid } }) => {
    const user = world.registry.userOf(jid)
    if (!user || !group.requests.delete(user)) return node('participant', { jid, error: '404' })
    if (decision.tag === 'approve') group.members.add(user)
    return node('participant', { jid })
  })
  return [node('membership_requests_action', {}, [node(decision.tag, {}, answers)])]
}

/**
 * @param {Change} change
 * @param {(change: Change, user: User | undefined) => string | undefined} each gives WhatsApp's code if it isn't done
 */
function forEachParticipant(change, each) {
  const { group, act, world } = change
  const answers = children(act, 'participant').map(({ attrs: { jid } }) => {
    const user = world.registry.userOf(jid)
    const error = each(change, user)
    const address = user ? { jid: user.jidAs(group.addressing === 'lid'), phone_number: user.pn } : { jid }
    return node('participant', { ...address, error })
  })
  return [node(act.tag, {}, answers)]
}

/** @param {Change} change @param {User | undefined} user */
function add({ group }, user) {
  if (!user) return '404'
  if (group.members.has(user)) return '409'
  if (user.refusesGroups) return '403'
  group.members.add(user)
  return undefined
}

/** @param {Group} group @param {User | undefined} user */
const known = (group, user) => user && group.members.has(user) ? undefined : '404'

/** @param {() => void} act @returns {BinaryNode[]} */
function set(act) {
  act()
  return []
}

/** @param {BinaryNode} act */
const textOf = ({ content }) => typeof content === 'string' ? content : Buffer.from(/** @type {Uint8Array} */ (content)).toString()

/**
 * @param {World} world
 * @param {Group} group
 * @param {User} actor
 * @param {BinaryNode} act
 * @param {User[]} [concerned] who isn't a member any more, and is told all the same
 */
function tell(world, group, actor, act, concerned = []) {
  const told = act.tag === 'subject' ? node('subject', { subject: group.subject }) : act
  for (const device of [...new Set([...group.members, ...concerned])].flatMap(user => [...user.companions.values()])) {
    const id = world.stanzaId()
    const attrs = { from: group.jid, type: 'w:gp2', id, t: nowSeconds(), participant: actor.jidAs(group.addressing === 'lid'), participant_pn: actor.pn }
    device.mailbox.put(notificationKey(id), node('notification', attrs, [told]))
  }
}
