/** Counters of what a real server or phone would notice, and of what tests want to know. */

/** Things that must never happen; `faults` are errors of the fake itself. */
export const VIOLATIONS = /** @type {const} */ ([
  'message_number_reused',
  'prekey_reused',
  'simultaneous_sockets',
  'handshake_frames_bad',
  'media_broken',
  'unknown_queries',
  'faults',
])

/** Things that happen, and are worth counting. */
export const EVENTS = /** @type {const} */ ([
  'decrypt_failures',
  'evictions',
  'qr_shown',
  'registrations',
  'logins',
  'refused_logins',
  'number_queries',
])

const DETAILS_KEPT = 200

/** @typedef {typeof VIOLATIONS[number] | typeof EVENTS[number]} Counter */

export class Violations {
  constructor() {
    /** @type {Record<Counter, number>} */
    this.counts = zeroes()
    /** @type {Array<Record<string, unknown> & {kind: Counter, at: number}>} the newest ones, oldest first */
    this.details = []
    this.longestOverlapMs = 0
  }

  reset() {
    this.counts = zeroes()
    this.details = []
    this.longestOverlapMs = 0
  }

  /**
   * @param {Counter} kind
   * @param {Record<string, unknown>} [detail] never keys or plaintext
   */
  count(kind, detail) {
    this.counts[kind]++
    if (!detail) return
    this.details.push({ kind, at: Date.now(), ...detail })
    if (this.details.length <= DETAILS_KEPT) return
    // What merely happens makes room for what must not.
    const event = this.details.findIndex(each => !VIOLATIONS.includes(/** @type {any} */ (each.kind)))
    this.details.splice(Math.max(event, 0), 1)
  }
}

/** @returns {Record<Counter, number>} */
function zeroes() {
  return /** @type {any} */ (Object.fromEntries([...VIOLATIONS, ...EVENTS].map(name => [name, 0])))
}
