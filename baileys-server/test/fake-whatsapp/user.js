/** A WhatsApp user: a phone, and the companion devices linked to it. Contacts are users without any. */
import { AppState } from './app-state.js'
import { Peer } from './peer.js'

/** @typedef {import('./device.js').Device} Device */

/**
 * A message that a phone sent, kept so that it can be sent again.
 *
 * @typedef {object} SentMessage
 * @property {string} id
 * @property {import('@whiskeysockets/baileys').proto.IMessage} content
 * @property {string | undefined} group
 * @property {User | undefined} to in a direct chat
 * @property {boolean} asLid
 * @property {{ciphertext: Buffer, distribution: Buffer}} [groupCiphertext] one for all readers
 */

export class User {
  /**
   * @param {{phone: string, lidUser: string, onPreKeyReused: (detail: Record<string, unknown>) => void}} options
   */
  constructor({ phone, lidUser, onPreKeyReused }) {
    this.phone = phone
    this.lidUser = lidUser
    this.pn = `${phone}@s.whatsapp.net`
    this.lid = `${lidUser}@lid`
    this.name = `User ${phone.slice(-4)}`
    this.peer = new Peer(lidUser, { onPreKeyReused })
    /** @type {Map<number, Device>} */
    this.companions = new Map()
    this.nextDeviceId = 1
    /** True once a companion was linked; stays true after it was removed. */
    this.isAccount = false
    this.appState = new AppState()
    /** @type {{text: string, at: string} | undefined} */
    this.about = undefined
    /** @type {{id: string, size: number} | undefined} */
    this.picture = undefined
    this.hidesPicture = false
    /** By its privacy settings nobody adds it to groups. */
    this.refusesGroups = false
    /** @type {Set<User>} */
    this.blocked = new Set()
    /** Which address this user's own messages carry. */
    this.writesAsLid = false
    /** @type {Map<string, SentMessage>} */
    this.sent = new Map()
    /** @type {Map<string, Set<string>>} group -> device addresses that hold this phone's sender key */
    this.senderKeyHolders = new Map()
  }

  /** @param {boolean} asLid */
  jidAs(asLid) {
    return asLid ? this.lid : this.pn
  }
}
