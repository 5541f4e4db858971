import { writeFileSync } from 'node:fs'
import { argv } from 'node:process'
import '../../src/silence-console.js'
import { addTransactionCapability, BufferJSON, Curve, DEFAULT_CONNECTION_CONFIG, initAuthCreds } from '@whiskeysockets/baileys'

/**
 * `node record-workload.js FILE [MESSAGES]`: what Baileys writes into an auth state while an account with 60 contacts and
 * 6 groups sends and receives. Baileys' own signal repository and transactions with real libsignal on both sides; every
 * `keys.set` of the account is recorded. What the socket's layer adds to that is put in by hand: see `#besides`.
 */

const CONTACTS = 60
const GROUPS = 6
const MEMBERS = 10
const PAIRING_PRE_KEYS = 812
const CREDS_EVERY = 10
const SEED = 20261124

const nothing = () => {}
const logger = { level: 'silent', trace: nothing, debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => logger }

/** The same sequence at every recording (mulberry32), so that two recordings have the same messages. */
function randomOf(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A SignalKeyStore in memory that tells what is set. */
class Keys {
  #texts = new Map()
  #onSet

  constructor(onSet = nothing) {
    this.#onSet = onSet
  }

  async get(type, ids) {
    const known = ids.filter(id => this.#texts.has(`${type} ${id}`))
    return Object.fromEntries(known.map(id => [id, JSON.parse(this.#texts.get(`${type} ${id}`), BufferJSON.reviver)]))
  }

  async set(data) {
    for (const [type, values] of Object.entries(data)) {
      for (const [id, value] of Object.entries(values)) {
        if (value === null) this.#texts.delete(`${type} ${id}`)
        else this.#texts.set(`${type} ${id}`, JSON.stringify(value, BufferJSON.replacer))
      }
    }
    this.#onSet(data)
  }
}

class Party {
  constructor(jid, onSet) {
    this.jid = jid
    this.creds = initAuthCreds()
    this.keys = addTransactionCapability(new Keys(onSet), logger, { maxCommitRetries: 1, delayBetweenTriesMs: 0 })
    this.signal = DEFAULT_CONNECTION_CONFIG.makeSignalRepository({ creds: this.creds, keys: this.keys }, logger, async () => [])
  }

  /** What a server hands out to those who begin to write to this party. */
  async bundle() {
    const keyId = this.creds.nextPreKeyId++
    const preKey = Curve.generateKeyPair()
    await this.keys.set({ 'pre-key': { [keyId]: preKey } })
    const { signedPreKey, signedIdentityKey, registrationId } = this.creds
    const prefixed = key => Buffer.concat([Buffer.from([5]), key])
    return {
      registrationId,
      identityKey: prefixed(signedIdentityKey.public),
      signedPreKey: { keyId: signedPreKey.keyId, publicKey: prefixed(signedPreKey.keyPair.public), signature: signedPreKey.signature },
      preKey: { keyId, publicKey: prefixed(preKey.public) }
    }
  }
}

class Recording {
  /** @type {{sets: object[], creds: boolean}[]} */
  messages = []
  #random = randomOf(SEED)
  #account = new Party('5511900000000:7@s.whatsapp.net', data => this.#sets.push(data))
  #phone = new Party('5511900000000@s.whatsapp.net')
  #contacts = Array.from({ length: CONTACTS }, (_, n) => new Party(`55118${String(n).padStart(8, '0')}@s.whatsapp.net`))
  #groups = Array.from({ length: GROUPS }, (_, n) => `1203630000000000${n}@g.us`)
  #sets = []
  #met = new Set()
  #knowsKeyOf = new Set()
  #distributed = new Set()

  async record(number) {
    for (let n = 0; n < number; n++) {
      this.#sets = []
      const kind = this.#random()
      if (kind < 0.45) await this.#received(this.#pick(this.#contacts))
      else if (kind < 0.7) await this.#sent(this.#pick(this.#contacts))
      else if (kind < 0.9) await this.#receivedInGroup(this.#pick(this.#groups))
      else await this.#sentToGroup(this.#pick(this.#groups))
      this.messages.push({ sets: this.#sets, creds: n % CREDS_EVERY === 0 })
    }
  }

  #pick(list) {
    return list[Math.floor(this.#random() * list.length)]
  }

  #text() {
    return Buffer.from('x'.repeat(20 + Math.floor(this.#random() * 200)))
  }

  async #received(contact) {
    await this.#meet(contact, contact)
    const message = await contact.signal.encryptMessage({ jid: this.#account.jid, data: this.#text() })
    await this.#account.signal.decryptMessage({ jid: contact.jid, ...message })
  }

  /** As relayMessage: the contact's device and one's own phone, in one transaction. */
  async #sent(contact) {
    await this.#meet(contact, this.#account)
    await this.#meet(this.#phone, this.#account)
    const copies = await this.#account.keys.transaction(() => Promise.all([contact, this.#phone].map(async party => {
      return [party, await this.#account.signal.encryptMessage({ jid: party.jid, data: this.#text() })]
    })), this.#account.jid)
    for (const [party, message] of copies) await party.signal.decryptMessage({ jid: this.#account.jid, ...message })
  }

  async #receivedInGroup(group) {
    const member = this.#pick(this.#membersOf(group))
    await this.#meet(member, member)
    const { ciphertext, senderKeyDistributionMessage } = await member.signal.encryptGroupMessage({ group, meId: member.jid, data: this.#text() })
    if (!this.#knowsKeyOf.has(group + member.jid)) {
      this.#knowsKeyOf.add(group + member.jid)
      const item = { groupId: group, axolotlSenderKeyDistributionMessage: senderKeyDistributionMessage }
      const message = await member.signal.encryptMessage({ jid: this.#account.jid, data: Buffer.from(senderKeyDistributionMessage) })
      await this.#account.signal.decryptMessage({ jid: member.jid, ...message })
      await this.#account.signal.processSenderKeyDistributionMessage({ item, authorJid: member.jid })
    }
    await this.#account.signal.decryptGroupMessage({ group, authorJid: member.jid, msg: ciphertext })
  }

  async #sentToGroup(group) {
    const members = this.#membersOf(group)
    for (const member of members) await this.#meet(member, this.#account)
    await this.#account.keys.transaction(async () => {
      const meId = this.#account.jid
      const { senderKeyDistributionMessage } = await this.#account.signal.encryptGroupMessage({ group, meId, data: this.#text() })
      if (this.#distributed.has(group)) return
      this.#distributed.add(group)
      for (const member of members) await this.#account.signal.encryptMessage({ jid: member.jid, data: Buffer.from(senderKeyDistributionMessage) })
      await this.#account.keys.set({ 'sender-key-memory': { [group]: Object.fromEntries(members.map(({ jid }) => [jid, true])) } })
    }, this.#account.jid)
  }

  #membersOf(group) {
    const first = this.#groups.indexOf(group) * MEMBERS
    return this.#contacts.slice(first, first + MEMBERS)
  }

  /** The two begin to write to each other; `first` takes the other's bundle. */
  async #meet(other, first) {
    if (this.#met.has(other.jid)) return
    this.#met.add(other.jid)
    await this.#besides(other.jid)
    const [from, to] = first === this.#account ? [this.#account, other] : [other, this.#account]
    await from.signal.injectE2ESession({ jid: to.jid, session: await to.bundle() })
    const hello = await from.signal.encryptMessage({ jid: to.jid, data: this.#text() })
    await to.signal.decryptMessage({ jid: from.jid, ...hello })
  }

  /** What Baileys' socket writes about a new contact, before it has a session: that goes by the LID once there is one. */
  async #besides(jid) {
    const user = jid.split('@')[0]
    const lid = `1000${user.slice(-11)}`
    await this.#account.keys.set({ 'lid-mapping': { [user]: lid, [`${lid}_reverse`]: user } })
    await this.#account.keys.set({ 'device-list': { [user]: ['0', '7'] } })
    await this.#account.keys.set({ tctoken: { [jid]: { token: Buffer.alloc(11, 1), timestamp: '1763900000' } } })
  }

  /** Creds as after a pairing; libsignal's and Baileys' own keys, the account's signature made up. */
  get creds() {
    return {
      ...this.#account.creds,
      me: { id: this.#account.jid, lid: '100000000000000:7@lid', name: 'Loja' },
      account: {
        details: Buffer.alloc(20, 1),
        accountSignatureKey: Buffer.alloc(32, 2),
        accountSignature: Buffer.alloc(64, 3),
        deviceSignature: Buffer.alloc(64, 4)
      },
      signalIdentities: [{ identifier: { name: this.#account.jid, deviceId: 0 }, identifierKey: Buffer.alloc(33, 5) }],
      platform: 'android',
      lastAccountSyncTimestamp: 1763900000
    }
  }
}

const [, , file, messages = '3000'] = argv
const recording = new Recording()
await recording.record(Number(messages))
const preKeys = Object.fromEntries(Array.from({ length: PAIRING_PRE_KEYS }, (_, n) => [n + 1, Curve.generateKeyPair()]))
writeFileSync(file, JSON.stringify({ creds: recording.creds, pairing: { 'pre-key': preKeys }, messages: recording.messages }, BufferJSON.replacer))
