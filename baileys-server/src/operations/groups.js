import { jidNormalizedUser } from '@whiskeysockets/baileys'
import { ControlError } from '../connections/control-error.js'
import { addressesOf } from './addresses.js'
import { failureOf } from './failure.js'
import { code, flag, group, integer, list, oneOf, optional, record, text, user } from './fields.js'
import { jpegOf, MOST_PICTURE, setPicture } from './pictures.js'

const MOST_PARTICIPANTS = 1024
/** Pages of the list of groups come from one answer of WhatsApp for this long. */
const LIST_LIVES_MS = 30_000

const subject = text(1, 100)
const description = text(0, 2048)
const participants = list(user, 1, MOST_PARTICIPANTS)

/** What one field of an update is to WhatsApp. @type {Record<string, (sock: any, group: string, value: any) => Promise<unknown>>} */
const UPDATES = {
  subject: (sock, jid, value) => sock.groupUpdateSubject(jid, value),
  description: (sock, jid, value) => sock.groupUpdateDescription(jid, value || undefined),
  announce: (sock, jid, value) => sock.groupSettingUpdate(jid, value ? 'announcement' : 'not_announcement'),
  locked: (sock, jid, value) => sock.groupSettingUpdate(jid, value ? 'locked' : 'unlocked'),
  members_can_add: (sock, jid, value) => sock.groupMemberAddMode(jid, value ? 'all_member_add' : 'admin_add'),
  join_approval: (sock, jid, value) => sock.groupJoinApprovalMode(jid, value ? 'on' : 'off'),
  ephemeral_seconds: (sock, jid, value) => sock.groupToggleEphemeral(jid, value)
}

/** @type {Record<string, import('./perform.js').Operation>} */
const ordinary = {
  'groups.list': {
    takes: record({ limit: integer(1, 200), after: optional(group) }),
    async run(context, { limit, after }) {
      const all = await allGroups(context)
      const page = all.filter(each => after === undefined || each.group_id > after).slice(0, limit)
      return { groups: page, more: page.length > 0 && page.at(-1) !== all.at(-1) }
    }
  },
  'groups.get': {
    takes: record({ group }),
    async run({ sock }, { group: jid }) {
      return described(sock, await sock.groupMetadata(jid))
    }
  },
  'groups.create': {
    takes: record({ subject, participants: list(user, 0, MOST_PARTICIPANTS) }),
    async run({ sock }, { subject: called, participants: members }) {
      return described(sock, await sock.groupCreate(called, members))
    }
  },
  'groups.leave': {
    takes: record({ group }),
    run: ({ sock }, { group: jid }) => sock.groupLeave(jid)
  },
  'groups.update': {
    takes: record({
      group,
      subject: optional(subject), description: optional(description), announce: optional(flag), locked: optional(flag),
      members_can_add: optional(flag), join_approval: optional(flag), ephemeral_seconds: optional(integer(0, 7_776_000))
    }),
    run: ({ sock }, { group: jid, ...changes }) => update(sock, jid, changes)
  },
  'groups.picture': {
    takes: record({ group, picture: optional(text(8, MOST_PICTURE)) }),
    run: ({ sock }, { group: jid, picture }) => setPicture(sock, picture ? jpegOf(picture) : null, jid)
  }
}

/** @type {Record<string, import('./perform.js').Operation>} */
const members = {
  'groups.participants': {
    takes: record({ group, participants, action: oneOf('add', 'remove', 'promote', 'demote') }),
    async run({ sock }, { group: jid, participants: users, action }) {
      return { participants: await outcomes(sock, await sock.groupParticipantsUpdate(jid, users, action)) }
    }
  },
  'groups.requests': {
    takes: record({ group }),
    async run({ sock }, { group: jid }) {
      const requests = await sock.groupRequestParticipantsList(jid)
      return { requests: await Promise.all(requests.map((/** @type {any} */ each) => requestOf(sock, each))) }
    }
  },
  'groups.answer_requests': {
    takes: record({ group, participants, action: oneOf('approve', 'reject') }),
    async run({ sock }, { group: jid, participants: users, action }) {
      return { participants: await outcomes(sock, await sock.groupRequestParticipantsUpdate(jid, users, action)) }
    }
  }
}

/** @type {Record<string, import('./perform.js').Operation>} */
const invites = {
  'groups.invite': {
    takes: record({ group, revoke: flag }),
    async run({ sock }, { group: jid, revoke }) {
      return { invite_code: await (revoke ? sock.groupRevokeInvite(jid) : sock.groupInviteCode(jid)) ?? null }
    }
  },
  'groups.join': {
    takes: record({ invite_code: code }),
    async run({ sock }, { invite_code: invite }) {
      return { group_id: await sock.groupAcceptInvite(invite) ?? null }
    }
  },
  'groups.preview': {
    takes: record({ invite_code: code }),
    async run({ sock }, { invite_code: invite }) {
      return described(sock, await sock.groupGetInviteInfo(invite))
    }
  }
}

export const groupOperations = { ...ordinary, ...members, ...invites }

/**
 * One query for each field, in this order; of one that fails in the middle, what was changed before stays.
 * @param {any} sock
 * @param {string} jid
 * @param {Record<string, any>} changes
 */
async function update(sock, jid, changes) {
  /** @type {string[]} */
  const changed = []
  for (const [field, change] of Object.entries(UPDATES)) {
    if (changes[field] === undefined) continue
    try {
      await change(sock, jid, changes[field])
      changed.push(field)
    } catch (error) {
      const { code: reason, message, whatsappCode } = failureOf(error)
      const before = changed.length > 0 ? ` Changed before: ${changed.join(', ')}.` : ''
      throw new ControlError(reason, `${field}: ${message}${before}`, { cause: error, whatsappCode })
    }
  }
}

/**
 * By id, without their participants.
 * @param {import('./perform.js').Context} context
 * @returns {Promise<any[]>}
 */
async function allGroups({ sock, cache, clock }) {
  const kept = cache.get('groups')
  if (kept && clock.uptime() - kept.at < LIST_LIVES_MS) return kept.groups
  const found = Object.values(await sock.groupFetchAllParticipating())
  const groups = (await Promise.all(found.map(each => described(sock, each)))).map(({ participants: _, ...rest }) => rest)
  groups.sort((one, other) => one.group_id < other.group_id ? -1 : 1)
  cache.set('groups', { groups, at: clock.uptime() })
  return groups
}

/**
 * @param {any} sock
 * @param {any} metadata Baileys' GroupMetadata
 */
async function described(sock, metadata) {
  const owner = metadata.owner ? await addressesOf(sock, metadata.owner, metadata.ownerPn) : null
  return {
    group_id: metadata.id,
    subject: metadata.subject ?? '',
    description: metadata.desc ?? null,
    owner: owner?.jid ?? null,
    created_at: metadata.creation > 0 ? new Date(metadata.creation * 1000).toISOString() : null,
    size: metadata.size,
    announce: metadata.announce,
    locked: metadata.restrict,
    members_can_add: metadata.memberAddMode,
    join_approval: metadata.joinApprovalMode,
    ephemeral_seconds: metadata.ephemeralDuration ?? 0,
    community: metadata.isCommunity,
    community_id: metadata.linkedParent ?? null,
    participants: await Promise.all(metadata.participants.map((/** @type {any} */ each) => participantOf(sock, each)))
  }
}

/** @param {any} sock @param {any} participant */
async function participantOf(sock, { id, phoneNumber, lid, admin }) {
  return { ...await addressesOf(sock, id, phoneNumber ?? lid), role: admin ?? 'member' }
}

/** @param {any} sock @param {any} request */
async function requestOf(sock, { jid, phone_number: number, request_time: seconds }) {
  return { ...await addressesOf(sock, jid, number), requested_at: seconds ? new Date(Number(seconds) * 1000).toISOString() : null }
}

/**
 * WhatsApp answers for each: 200, or why not, such as 403 (may only be invited), 404 (not on WhatsApp), 409 (is in already).
 * @param {any} sock
 * @param {{jid: string, status: string, content?: any}[]} answers
 */
async function outcomes(sock, answers) {
  return await Promise.all(answers.map(async ({ jid, status, content }) => {
    const { phone_number: number, lid } = content?.attrs ?? {}
    return { ...await addressesOf(sock, jidNormalizedUser(jid), number ?? lid), code: Number(status), done: status === '200' }
  }))
}
