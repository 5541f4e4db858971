import { sleep, within } from '../clock.js'
import { safeError } from '../log.js'

/**
 * What sessions learned of their contacts, chats and labels, on its way to the store: gathered over all sessions, one
 * call and so one transaction for many changes, because a busy chat changes with every message. It is no auth state: what
 * a crash takes with it, the next message or sync tells again.
 *
 * @typedef {{sessionRef: number, generation: number}} Owner
 * @typedef {{sessionRef: number, generation: number, kind: string, id: string, fields: Record<string, any> | null}} Change
 */

const GATHER_MS = 2000
const CHANGES_PER_CALL = 1000
const CAPACITY = 100_000
const FIRST_RETRY_MS = 2000
const LAST_RETRY_MS = 30_000

export class DirectoryOutbox {
  /** @type {Map<string, Change>} */
  #waiting = new Map()
  /** @type {Promise<void> | null} */
  #delivering = null
  #hurry = new AbortController()
  #stopped = false
  #full = false
  #client
  #clock
  #log
  #gatherMs

  /** @param {{client: import('./client.js').OrchestratorClient, clock: import('../clock.js').Clock, log: import('../log.js').Logger, gatherMs?: number}} parts */
  constructor({ client, clock, log, gatherMs = GATHER_MS }) {
    this.#client = client
    this.#clock = clock
    this.#log = log
    this.#gatherMs = gatherMs
  }

  /**
   * @param {Owner} owner
   * @param {string} kind
   * @param {string} id
   * @param {Record<string, any> | null} fields
   */
  add({ sessionRef, generation }, kind, id, fields) {
    const key = JSON.stringify([sessionRef, generation, kind, id])
    const older = this.#waiting.get(key)
    if (!older && this.#waiting.size >= CAPACITY) return this.#onFull()
    this.#waiting.set(key, { sessionRef, generation, kind, id, fields: older ? merged(older.fields, fields) : fields })
    this.#delivering ??= this.#deliver().finally(() => { this.#delivering = null })
  }

  /** Delivers what there is without gathering more, or gives up after the time. @param {number} ms */
  async close(ms) {
    this.#hurry.abort()
    if (this.#delivering) await within(this.#clock, ms, this.#delivering)
    this.#stopped = true
  }

  async #deliver() {
    let retryMs = FIRST_RETRY_MS
    await sleep(this.#clock, this.#gatherMs, this.#hurry.signal)
    while (this.#waiting.size > 0 && !this.#stopped) {
      const batch = [...this.#waiting].slice(0, CHANGES_PER_CALL)
      for (const [key] of batch) this.#waiting.delete(key)
      try {
        await this.#post(batch.map(([, change]) => change))
        retryMs = FIRST_RETRY_MS
        this.#full = false
      } catch (error) {
        const { final } = /** @type {import('./errors.js').OrchestratorError} */ (error)
        this.#log[final ? 'error' : 'warn']({ changes: batch.length, ...safeError(error) }, 'directory_not_delivered')
        if (final || this.#hurry.signal.aborted) continue
        this.#putBack(batch)
        await sleep(this.#clock, retryMs, this.#hurry.signal)
        retryMs = Math.min(retryMs * 2, LAST_RETRY_MS)
      }
      await sleep(this.#clock, this.#gatherMs, this.#hurry.signal)
    }
  }

  /** @param {Change[]} changes */
  async #post(changes) {
    const entries = changes.map(({ sessionRef, generation, kind, id, fields }) => [sessionRef, generation, kind, id, fields])
    await this.#client.call('/internal/v1/directory', { changes: entries }, { retries: 0 })
  }

  /** @param {[string, Change][]} batch */
  #putBack(batch) {
    for (const [key, change] of batch) {
      const newer = this.#waiting.get(key)
      this.#waiting.set(key, newer ? { ...newer, fields: merged(change.fields, newer.fields) } : change)
    }
  }

  #onFull() {
    if (!this.#full) this.#log.error({ changes: this.#waiting.size }, 'directory_changes_dropped')
    this.#full = true
  }
}

/**
 * Two changes of one thing as one.
 * @param {Record<string, any> | null} older
 * @param {Record<string, any> | null} newer
 */
export function merged(older, newer) {
  if (older === null || newer === null) return newer
  const { unread_added: added = 0, ...before } = older
  const { unread_added: more = 0, ...after } = newer
  const both = { ...before, ...after }
  if (before.labels && after.labels) both.labels = { ...before.labels, ...after.labels }
  if (after.unread_count !== undefined) return more > 0 ? { ...both, unread_count: after.unread_count + more } : both
  if (before.unread_count !== undefined) return { ...both, unread_count: before.unread_count + added + more }
  return added + more > 0 ? { ...both, unread_added: added + more } : both
}
