import { keyName, writeOf } from './batch.js'

/**
 * @typedef {import('./batch.js').Batch} Batch
 * @typedef {import('./batch.js').Creds} Creds
 * @typedef {import('./batch.js').KeyChange} KeyChange
 * @typedef {import('./batch.js').Write} Write
 *
 * @typedef {{creds?: Creds, keys: KeyChange[], sentMessages: [string, Uint8Array][], incoming: [string, string][]}} Part
 */

const MAX_PART_CHARACTERS = 8 * 1024 * 1024

/**
 * What the journal holds of a session and the store hasn't committed: the newest of everything. It leaves in parts, and
 * what became newer while its part was under way stays.
 */
export class Backlog {
  /** @type {Creds | undefined} */
  #creds
  /** @type {Map<string, KeyChange>} */
  #keys = new Map()
  /** @type {Map<string, [string, Uint8Array]>} */
  #sentMessages = new Map()
  /** @type {Map<string, [string, string]>} */
  #incoming = new Map()
  /** Entries in a part. Halved when a part is refused, until the bad entry is alone. */
  #entriesPerPart = Infinity
  /** @type {Part} */
  #underWay = { keys: [], sentMessages: [], incoming: [] }

  get isEmpty() {
    return this.#size === 0
  }

  /** @param {Pick<Batch, 'creds' | 'keys' | 'sentMessages' | 'incoming'>} newer */
  add({ creds, keys, sentMessages, incoming }) {
    if (creds) this.#creds = creds
    for (const [name, change] of keys) this.#keys.set(name, change)
    for (const entry of sentMessages) this.#sentMessages.set(entry[0], entry)
    for (const entry of incoming) this.#incoming.set(entry[0], entry)
  }

  /** @param {string} name @returns {KeyChange | undefined} */
  key(name) {
    return this.#keys.get(name)
  }

  /** The next part; the same one, brought up to date, when it is taken again. @returns {Write} */
  take() {
    this.#underWay = partOf(this.#entries(), this.#entriesPerPart)
    return writeOf(this.#underWay)
  }

  /** The part that was taken last is in the store. */
  committed() {
    this.#remove(this.#underWay)
    this.#entriesPerPart = Infinity
  }

  /** The part that was taken last is refused. @returns {Part | null} what had to be dropped: it is refused alone too */
  refused() {
    const part = this.#underWay
    const entries = sizeOfPart(part)
    if (entries > 1) {
      this.#entriesPerPart = Math.floor(entries / 2)
      return null
    }
    this.#remove(part)
    return part
  }

  clear() {
    this.#creds = undefined
    this.clearAllButCreds()
  }

  clearAllButCreds() {
    for (const entries of [this.#keys, this.#sentMessages, this.#incoming]) entries.clear()
  }

  /** @returns {Generator<Write>} all of it */
  *parts() {
    const entries = this.#entries()
    for (let part = partOf(entries, Infinity); sizeOfPart(part) > 0; part = partOf(entries, Infinity)) yield writeOf(part)
  }

  get #size() {
    return (this.#creds ? 1 : 0) + this.#keys.size + this.#sentMessages.size + this.#incoming.size
  }

  /** @returns {Generator<{characters: number, addTo: (part: Part) => void}>} */
  *#entries() {
    const creds = this.#creds
    if (creds) yield { characters: creds.text.length, addTo: part => { part.creds = creds } }
    for (const key of this.#keys.values()) yield { characters: (key[2]?.length ?? 0) + 100, addTo: part => part.keys.push(key) }
    for (const message of this.#sentMessages.values()) {
      yield { characters: message[1].length + 100, addTo: part => part.sentMessages.push(message) }
    }
    for (const message of this.#incoming.values()) {
      yield { characters: message[1].length + 100, addTo: part => part.incoming.push(message) }
    }
  }

  /** @param {Part} part except what is newer by now */
  #remove({ creds, keys, sentMessages, incoming }) {
    if (this.#creds === creds) this.#creds = undefined
    for (const change of keys) removeIfSame(this.#keys, keyName(change[0], change[1]), change)
    for (const message of sentMessages) removeIfSame(this.#sentMessages, message[0], message)
    for (const message of incoming) removeIfSame(this.#incoming, message[0], message)
  }
}

/**
 * @param {Iterator<{characters: number, addTo: (part: Part) => void}>} entries
 * @param {number} limit
 */
function partOf(entries, limit) {
  /** @type {Part} */
  const part = { keys: [], sentMessages: [], incoming: [] }
  for (let count = 0, characters = 0; count < limit && characters < MAX_PART_CHARACTERS; count++) {
    const { value, done } = entries.next()
    if (done) break
    characters += value.characters
    value.addTo(part)
  }
  return part
}

/** @param {Part} part */
function sizeOfPart({ creds, keys, sentMessages, incoming }) {
  return (creds ? 1 : 0) + keys.length + sentMessages.length + incoming.length
}

/**
 * @template T
 * @param {Map<string, T>} entries
 * @param {string} name
 * @param {T} entry
 */
function removeIfSame(entries, name, entry) {
  if (entries.get(name) === entry) entries.delete(name)
}
