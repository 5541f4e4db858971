/** What WhatsApp's servers and phones were told beside messages, in order: presence, profiles, calls, changes of groups and app state. */

const KEPT = 2000

/**
 * @typedef {'presence' | 'subscribed' | 'chat_state' | 'call_rejected' | 'about' | 'name' | 'picture' | 'blocklist' | 'group' | 'app_state'
 *   | 'channel' | 'read'} Kind
 */

export class Seen {
  constructor() {
    /** @type {Array<Record<string, unknown> & {kind: Kind, phone: string}>} the newest ones, oldest first */
    this.entries = []
  }

  /**
   * @param {Kind} kind
   * @param {string} phone of the account that did it
   * @param {Record<string, unknown>} detail
   */
  note(kind, phone, detail) {
    this.entries.push({ ...detail, kind, phone })
    if (this.entries.length > KEPT) this.entries.shift()
  }

  /** @param {{kind?: string, phone?: string}} filter */
  list({ kind, phone }) {
    return this.entries.filter(each => (!kind || each.kind === kind) && (!phone || each.phone === phone))
  }
}
