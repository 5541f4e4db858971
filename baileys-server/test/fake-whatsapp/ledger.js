/** The record of every message in both directions: what became of it, and what is still outstanding. */
import { EventEmitter } from 'node:events'
import { proto } from '@whiskeysockets/baileys'

/**
 * Contact to companion: `queued` (no socket to send it on), `sent`, `receipted`, `nacked`, `retrying`.
 * Companion to contact: `received`, `retrying`, `decrypted`, `undecryptable`.
 *
 * @typedef {'queued' | 'sent' | 'receipted' | 'nacked' | 'retrying' | 'received' | 'decrypted' | 'undecryptable'} Status
 */

/**
 * @typedef {object} MessageRecord
 * @property {number} seq grows with every change, across all records
 * @property {string} id
 * @property {'in' | 'out'} direction in = to the companion, out = from it
 * @property {string} from
 * @property {string} to
 * @property {string} chat
 * @property {string | null} text
 * @property {import('@whiskeysockets/baileys').proto.IMessage | null} content out: what the phone decrypted
 * @property {import('./media-host.js').SeenMedia | null} media out: what the phone made of its file
 * @property {string | null} edit out: what the stanza says that the message does to an earlier one
 * @property {Status} status
 * @property {number} tries how often it was sent (in) or failed to decrypt (out)
 * @property {string | null} receipt the type of the companion's receipt, `delivered` when it names none
 * @property {string | null} nack the error code of the companion's nack
 * @property {number} duplicates copies that decrypted after the first: on the wire once more, and not shown again
 * @property {number | null} shown out: its place in the order in which phones showed messages; null = not shown
 * @property {boolean} own_phone a copy for the sender's own phone
 * @property {number} at milliseconds
 * @property {string} account the phone of the account on this side of the server
 */

/** @typedef {MessageRecord & {nacksExpected: number, retryAskedAt: number | undefined}} Tracked */

const DONE = new Set(['receipted', 'nacked', 'decrypted', 'undecryptable'])

export class Ledger {
  /** @param {{undecryptableAfterMs: number}} options how long a peer waits for an answer to its retry receipt */
  constructor({ undecryptableAfterMs }) {
    this.undecryptableAfterMs = undecryptableAfterMs
    /** @type {Map<string, Tracked>} */
    this.records = new Map()
    /** @type {Set<Tracked>} */
    this.outstanding = new Set()
    this.seq = 0
    this.shown = 0
    this.changes = new EventEmitter().setMaxListeners(0)
  }

  /**
   * @param {string} key
   * @param {Partial<MessageRecord> & Pick<MessageRecord, 'id' | 'direction' | 'from' | 'to' | 'chat' | 'account' | 'status'>} fields
   * @returns {Tracked}
   */
  open(key, fields) {
    const record = {
      seq: ++this.seq,
      text: null,
      content: null,
      media: null,
      edit: null,
      tries: 0,
      receipt: null,
      nack: null,
      duplicates: 0,
      shown: null,
      own_phone: false,
      at: Date.now(),
      nacksExpected: 0,
      retryAskedAt: undefined,
      ...fields,
    }
    this.records.set(key, record)
    this.#settle(record)
    return record
  }

  /** @param {string} key */
  find(key) {
    return this.records.get(key)
  }

  /**
   * @param {Tracked} record
   * @param {Partial<Tracked>} change
   */
  update(record, change) {
    Object.assign(record, change, { seq: ++this.seq })
    this.#settle(record)
  }

  /**
   * @param {{direction?: string, since?: number, phone?: string, status?: string, ownPhone?: boolean, content?: boolean}} filter
   *   content: with what was in it, as plain objects
   */
  list({ direction, since = 0, phone, status, ownPhone = false, content: withContent = false }) {
    this.#giveUpOverdue()
    return [...this.records.values()]
      .filter(record => record.seq > since && (ownPhone || !record.own_phone))
      .filter(record => (!direction || record.direction === direction) && (!phone || record.account === phone))
      .filter(record => !status || record.status === status)
      .sort((a, b) => a.seq - b.seq)
      .map(({ nacksExpected: _nacks, retryAskedAt: _asked, content, media, edit, ...shown }) =>
        withContent ? { ...shown, content: content && plain(content), media, edit } : shown
      )
  }

  totals() {
    this.#giveUpOverdue()
    const own = { received: 0, decrypted: 0, undecryptable: 0 }
    const incoming = { sent: 0, receipted: 0, nacked: 0, outstanding: 0 }
    const outgoing = { received: 0, decrypted: 0, duplicates: 0, undecryptable: 0, outstanding: 0 }
    for (const record of this.records.values()) {
      if (record.own_phone) tally(own, record, 'received')
      else if (record.direction === 'in') tally(incoming, record, 'sent')
      else tally(outgoing, record, 'received')
    }
    return { in: incoming, out: outgoing, own_phone: own }
  }

  /** @param {string} [phone] */
  outstandingCounts(phone) {
    this.#giveUpOverdue()
    const counts = { in: 0, out: 0 }
    for (const record of this.outstanding) {
      if (!record.own_phone && (!phone || record.account === phone)) counts[record.direction]++
    }
    return counts
  }

  /** Forgets what is finished; what is outstanding stays. */
  reset() {
    for (const [key, record] of this.records) if (DONE.has(record.status)) this.records.delete(key)
  }

  /** A real phone waits for ever for a resend; a test wants an answer. A later resend still turns it around. */
  #giveUpOverdue() {
    const limit = Date.now() - this.undecryptableAfterMs
    for (const record of this.outstanding) {
      const overdue = record.direction === 'out' && record.retryAskedAt && record.retryAskedAt < limit
      if (overdue) this.update(record, { status: 'undecryptable' })
    }
  }

  /** @param {Tracked} record */
  #settle(record) {
    if (DONE.has(record.status)) this.outstanding.delete(record)
    else this.outstanding.add(record)
    this.changes.emit('change')
  }
}

/** @param {import('@whiskeysockets/baileys').proto.IMessage} content */
function plain(content) {
  return proto.Message.toObject(/** @type {any} */ (content), { longs: Number, enums: String, bytes: String })
}

/**
 * @param {Record<string, number>} totals
 * @param {MessageRecord} record
 * @param {string} all
 */
function tally(totals, record, all) {
  totals[all]++
  if ('duplicates' in totals) totals.duplicates += record.duplicates
  if (record.status !== all && record.status in totals) totals[record.status]++
  else if (!DONE.has(record.status) && 'outstanding' in totals) totals.outstanding++
}
