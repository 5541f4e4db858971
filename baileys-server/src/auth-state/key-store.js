import { LRUCache } from 'lru-cache'
import { keyName } from './batch.js'
import { decodeKey, encode } from './codec.js'

/**
 * The signal keys of one session: Baileys' SignalKeyStore over the write queue and the backup API.
 *
 * A read sees, in this order, what is on its way to the store, the cache, the store. The cache holds text, parsed anew
 * for each reader, so that no two readers share an object; it is filled only with what is durable. Absence is cached
 * too: under the lease nobody else writes. A read that failed rejects: absent is not failed.
 *
 * @typedef {import('./batch.js').KeyChange} KeyChange
 * @typedef {Record<string, Record<string, any>>} KeysByType as Baileys passes them: type -> id -> value or null
 */

const CACHE_BYTES = 8 * 1024 * 1024
const ENTRY_OVERHEAD_BYTES = 100
/** Pre-keys are many, read once each, and not part of the prefetch. */
const NOT_PREFETCHED = 'pre-key'

/** @type {unique symbol} */
const ABSENT = Symbol('absent')

export class KeyStore {
  /** @type {LRUCache<string, {type: string, id: string, text: string | typeof ABSENT}>} */
  #cache
  /** Whether what isn't cached is proven absent. Not any more once something had to leave the cache. */
  #complete = false
  /** @type {Map<string, {ids: Set<string>, values: Promise<Map<string, string>>}>} reads that gather ids in this tick */
  #gathering = new Map()
  /** @type {Set<Set<string>>} per read that is under way: the names that were written meanwhile */
  #overtaken = new Set()
  #queue
  #read

  /**
   * @param {object} parts
   * @param {import('./write-queue.js').WriteQueue} parts.queue
   * @param {(type: string, ids: string[]) => Promise<Map<string, string>>} parts.read a missing id is proven absent
   * @param {number} [parts.cacheBytes]
   */
  constructor({ queue, read, cacheBytes = CACHE_BYTES }) {
    this.#queue = queue
    this.#read = read
    this.#cache = new LRUCache({
      maxSize: cacheBytes,
      sizeCalculation: ({ type, id, text }) => ENTRY_OVERHEAD_BYTES + 2 * (type.length + id.length + (text === ABSENT ? 0 : text.length)),
      dispose: (_entry, _name, reason) => { if (reason === 'evict') this.#complete = false }
    })
  }

  /**
   * What load brought along.
   * @param {[type: string, id: string, text: string][]} keys newest first
   * @param {boolean} complete nothing but pre-keys is missing
   */
  prefetched(keys, complete) {
    this.#complete = complete
    // The newest last, so that they are the last to leave.
    for (const [type, id, text] of keys.toReversed()) this.#remember(type, id, text)
  }

  /**
   * @param {string} type
   * @param {string[]} ids
   * @returns {Promise<Record<string, any>>} without the absent ones
   */
  async get(type, ids) {
    /** @type {Record<string, any>} */
    const found = {}
    const add = (/** @type {string} */ id, /** @type {string | null} */ text) => {
      if (text !== null) found[id] = decodeKey(type, text)
    }
    const unknown = []
    for (const id of ids) {
      const text = this.#known(type, id)
      if (text === undefined) unknown.push(id)
      else add(id, text)
    }
    if (unknown.length > 0) {
      const stored = await this.#fetch(type, unknown)
      for (const id of unknown) {
        const text = this.#known(type, id)
        add(id, text === undefined ? stored.get(id) ?? null : text)
      }
    }
    return found
  }

  /**
   * Resolves when all of it is durable. Values that are durable already cost no write.
   * @param {KeysByType} data
   */
  async set(data) {
    const changes = changesOf(data).filter(change => !this.#isDurable(change))
    if (changes.length > 0) await this.#enqueue(changes, true)
  }

  /**
   * Takes the change at once, for every reader, and lets it become durable in its order; wait with `durable`.
   * @param {KeysByType} data
   * @param {import('./decrypted-messages.js').Incoming[]} [incoming] messages that become durable in the same write
   */
  stage(data, incoming = []) {
    const changes = changesOf(data)
    if (changes.length > 0 || incoming.length > 0) this.#enqueue(changes, false, incoming)
  }

  /** For `durable`: how many writes have failed until now. */
  get lostWrites() {
    return this.#queue.lost
  }

  /** Resolves when everything taken until now is durable. @param {number} lostBefore `lostWrites` before the first of it */
  durable(lostBefore) {
    return this.#queue.drained(lostBefore)
  }

  /**
   * For the write queue: these are durable now.
   * @param {KeyChange[]} changes
   */
  committed(changes) {
    for (const [type, id, text] of changes) this.#remember(type, id, text ?? ABSENT)
  }

  /**
   * For the write queue: whether these were committed is unknown (an answer may have been lost), so only the store
   * knows them now.
   * @param {KeyChange[]} changes
   */
  forget(changes) {
    for (const [type, id] of changes) this.#cache.delete(keyName(type, id))
    if (changes.length > 0) this.#complete = false
  }

  /**
   * What the cache holds to be durable; null for absent.
   * @returns {KeyChange[]}
   */
  cached() {
    return [...this.#cache.values()].map(({ type, id, text }) => [type, id, text === ABSENT ? null : text])
  }

  /**
   * Writes a cached key once more. Returns whether it was still what the cache holds, with nothing newer on its way.
   * @param {KeyChange} change
   */
  async repair([type, id, text]) {
    const cached = this.#cache.peek(keyName(type, id))?.text
    const unchanged = this.#queue.pendingValue(type, id) === undefined && (cached === ABSENT ? null : cached) === text
    if (unchanged) await this.#queue.enqueue({ keys: [[type, id, text]], awaited: true })
    return unchanged
  }

  /**
   * @param {string} type
   * @param {string} id
   * @returns {string | null | undefined} null: absent; undefined: only the store knows
   */
  #known(type, id) {
    const pending = this.#queue.pendingValue(type, id)
    if (pending !== undefined) return pending
    const cached = this.#cache.get(keyName(type, id))?.text
    if (cached !== undefined) return cached === ABSENT ? null : cached
    return this.#complete && type !== NOT_PREFETCHED ? null : undefined
  }

  /** @param {KeyChange} change */
  #isDurable([type, id, text]) {
    if (this.#queue.pendingValue(type, id) !== undefined) return false
    return this.#cache.peek(keyName(type, id))?.text === (text ?? ABSENT)
  }

  /** @param {KeyChange[]} changes @param {boolean} awaited @param {import('./decrypted-messages.js').Incoming[]} [incoming] */
  #enqueue(changes, awaited, incoming) {
    for (const names of this.#overtaken) for (const [type, id] of changes) names.add(keyName(type, id))
    return this.#queue.enqueue({ keys: changes, awaited, incoming })
  }

  /**
   * @param {string} type
   * @param {string} id
   * @param {string | typeof ABSENT} text
   */
  #remember(type, id, text) {
    this.#cache.set(keyName(type, id), { type, id, text })
  }

  /**
   * Reads of one type in the same tick become one call.
   * @param {string} type
   * @param {string[]} ids
   */
  #fetch(type, ids) {
    let gathering = this.#gathering.get(type)
    if (!gathering) {
      const wanted = new Set(ids)
      gathering = { ids: wanted, values: this.#fetchGathered(type, wanted) }
      this.#gathering.set(type, gathering)
    }
    for (const id of ids) gathering.ids.add(id)
    return gathering.values
  }

  /**
   * @param {string} type
   * @param {Set<string>} ids grows until the end of this tick
   */
  async #fetchGathered(type, ids) {
    await new Promise(resolve => setImmediate(resolve))
    this.#gathering.delete(type)
    const underWay = [...ids].filter(id => this.#queue.pendingValue(type, id) !== undefined)
    const overtaken = new Set(underWay.map(id => keyName(type, id)))
    this.#overtaken.add(overtaken)
    try {
      const values = await this.#read(type, [...ids])
      for (const id of ids) {
        // What was on its way when the question was asked, or since, may be newer than the answer.
        if (!overtaken.has(keyName(type, id))) this.#remember(type, id, values.get(id) ?? ABSENT)
      }
      return values
    } finally {
      this.#overtaken.delete(overtaken)
    }
  }
}

/**
 * @param {KeysByType} data
 * @returns {KeyChange[]}
 */
function changesOf(data) {
  return Object.entries(data).flatMap(([type, values]) => Object.entries(values ?? {}).map(([id, value]) => {
    return /** @type {KeyChange} */ ([type, id, value === null || value === undefined ? null : encode(value)])
  }))
}
