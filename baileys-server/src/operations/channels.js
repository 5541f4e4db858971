import { channel, code, optional, record, text, oneOf } from './fields.js'
import { refused } from './failure.js'

const name = text(1, 100)
const description = text(0, 2048)

/** @type {Record<string, import('./perform.js').Operation>} */
export const channelOperations = {
  'channels.get': {
    takes: record({ channel: optional(channel), invite: optional(code) }),
    async run({ sock }, { channel: jid, invite }) {
      const found = await (jid ? sock.newsletterMetadata('jid', jid) : sock.newsletterMetadata('invite', invite))
      if (!found) throw refused(404, 'there is no such channel')
      return described(found)
    }
  },
  'channels.create': {
    takes: record({ name, description: optional(description) }),
    async run({ sock }, { name: called, description: about }) {
      const made = await sock.newsletterCreate(called, about)
      return described({ ...made, viewer_metadata: { role: 'OWNER' } })
    }
  },
  'channels.update': {
    takes: record({ channel, name: optional(name), description: optional(description) }),
    async run({ sock }, { channel: jid, ...changes }) {
      const given = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined))
      await sock.newsletterUpdate(jid, given)
    }
  },
  'channels.follow': {
    takes: record({ channel, action: oneOf('follow', 'unfollow', 'mute', 'unmute') }),
    async run({ sock }, { channel: jid, action }) {
      const acts = { follow: sock.newsletterFollow, unfollow: sock.newsletterUnfollow, mute: sock.newsletterMute, unmute: sock.newsletterUnmute }
      await acts[/** @type {keyof typeof acts} */ (action)](jid)
    }
  },
  'channels.delete': {
    takes: record({ channel }),
    run: ({ sock }, { channel: jid }) => sock.newsletterDelete(jid)
  }
}

/**
 * From either of the forms in which Baileys hands on what WhatsApp says of a channel.
 * @param {any} found
 */
function described({ id, name: flat, description: about, invite, subscribers, verification, creation_time: createdAt, thread_metadata: thread, viewer_metadata: viewer }) {
  const seconds = Number(createdAt ?? thread?.creation_time)
  return {
    channel_id: id,
    name: flat ?? thread?.name?.text ?? null,
    description: about ?? thread?.description?.text ?? null,
    invite_code: invite ?? thread?.invite ?? null,
    followers: Number(subscribers ?? thread?.subscribers_count ?? 0),
    verified: (verification ?? thread?.verification) === 'VERIFIED',
    role: String(viewer?.role ?? 'GUEST').toLowerCase(),
    muted: viewer?.mute === 'ON',
    created_at: Number.isFinite(seconds) && seconds > 0 ? new Date(seconds * 1000).toISOString() : null
  }
}
