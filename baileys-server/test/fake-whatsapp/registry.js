/** Who and what exists: users by phone and LID, their devices, groups. */
import { randomBytes, randomInt } from 'node:crypto'
import { ControlError } from './control-error.js'
import { isGroup, parseJid } from './stanza.js'
import { User } from './user.js'

/** @typedef {import('./device.js').Device} Device */

/**
 * @typedef {object} Group
 * @property {string} jid
 * @property {string} subject
 * @property {User} owner
 * @property {Set<User>} members
 * @property {Set<User>} admins
 * @property {'lid' | 'pn'} addressing
 * @property {number} createdAt seconds
 * @property {{id: string, body: string} | undefined} description
 * @property {{id: string, size: number} | undefined} picture
 * @property {boolean} announce only admins write
 * @property {boolean} locked only admins change it
 * @property {boolean} membersCanAdd
 * @property {boolean} approval an admin must let in who comes by the invite link
 * @property {number} ephemeral seconds
 * @property {string} inviteCode
 * @property {Map<User, string>} requests who waits to be let in, and since when (seconds)
 */

/** Where a stanza goes: a simulated phone (no device) or a companion. */
/** @typedef {{user: User, device: Device | undefined}} Target */

const FIRST_LID = 100_000_000_000_000
const LID_GAP = 1_000_000
const FIRST_CONTACT = 551_199_000_0000

export class Registry {
  /** @param {(detail: Record<string, unknown>) => void} onPreKeyReused */
  constructor(onPreKeyReused) {
    this.onPreKeyReused = onPreKeyReused
    /** @type {Map<string, User>} */
    this.byPhone = new Map()
    /** @type {Map<string, User>} */
    this.byLid = new Map()
    /** @type {Map<string, Group>} */
    this.groups = new Map()
    this.nextLid = FIRST_LID
    this.nextContact = FIRST_CONTACT
    this.nextGroup = 1
    /** @type {import('./channels.js').Channel[]} */
    this.channels = []
  }

  /** @param {string} phone digits */
  user(phone) {
    const known = this.byPhone.get(phone)
    if (known) return known
    // Gaps of random size: nothing may come to rely on LIDs that count up with the phones.
    this.nextLid += 1 + randomInt(LID_GAP)
    const user = new User({ phone, lidUser: String(this.nextLid), onPreKeyReused: this.onPreKeyReused })
    this.byPhone.set(phone, user)
    this.byLid.set(user.lidUser, user)
    return user
  }

  newContact() {
    while (this.byPhone.has(String(this.nextContact))) this.nextContact++
    return this.user(String(this.nextContact))
  }

  /** @param {string | undefined} jid */
  userOf(jid) {
    const parsed = parseJid(jid)
    if (!parsed) return undefined
    return parsed.server === 'lid' ? this.byLid.get(parsed.user) : this.byPhone.get(parsed.user)
  }

  /**
   * @param {string | undefined} jid of a user or one of its devices
   * @returns {Target | undefined} undefined for an unknown user or an unlinked device
   */
  target(jid) {
    const user = this.userOf(jid)
    const id = parseJid(jid)?.device
    if (!user || id === undefined) return undefined
    if (id === 0) return { user, device: undefined }
    const device = user.companions.get(id)
    return device && { user, device }
  }

  /**
   * @param {string} phoneOrJid as a caller of the control API writes it
   * @returns {User}
   */
  find(phoneOrJid) {
    const text = String(phoneOrJid ?? '')
    const found = text.includes('@') ? this.userOf(text) : this.byPhone.get(digits(text))
    if (!found) throw new ControlError(404, 'unknown_user', `no user ${text}`)
    return found
  }

  /** @param {string} jid */
  group(jid) {
    const found = this.groups.get(jid)
    if (!found) throw new ControlError(404, 'unknown_group', `no group ${jid}`)
    return found
  }

  /**
   * @param {string} subject
   * @param {User[]} members the first one owns the group
   * @param {'lid' | 'pn'} addressing
   */
  createGroup(subject, members, addressing) {
    if (!members.length) throw new ControlError(400, 'no_members', 'a group needs members')
    const jid = `12036300000${String(this.nextGroup++).padStart(7, '0')}@g.us`
    const createdAt = Math.floor(Date.now() / 1000)
    this.groups.set(jid, {
      jid, subject, owner: members[0], members: new Set(members), admins: new Set([members[0]]), addressing, createdAt,
      description: undefined, picture: undefined, announce: false, locked: false, membersCanAdd: true, approval: false, ephemeral: 0,
      inviteCode: randomBytes(8).toString('hex'), requests: new Map(),
    })
    return jid
  }

  /** @param {string} code */
  groupByInvite(code) {
    return [...this.groups.values()].find(group => group.inviteCode === code)
  }

  /**
   * @param {User} owner
   * @param {string} name
   * @param {string} description
   */
  createChannel(owner, name, description) {
    const channel = {
      id: `12036310000${String(this.channels.length + 1).padStart(7, '0')}@newsletter`, name, description, owner,
      invite: randomBytes(11).toString('base64url'), followers: new Set([owner]), muted: new Set(),
      createdAt: String(Math.floor(Date.now() / 1000)),
    }
    this.channels.push(channel)
    return channel
  }

  /**
   * @param {string} chat
   * @param {User} fallback
   * @returns {User[]}
   */
  audience(chat, fallback) {
    return isGroup(chat) ? [...(this.groups.get(chat)?.members ?? [])] : [fallback]
  }

  get accounts() {
    return [...this.byPhone.values()].filter(user => user.isAccount)
  }
}

/** @param {string} text */
export const digits = text => text.replace(/\D/g, '')
