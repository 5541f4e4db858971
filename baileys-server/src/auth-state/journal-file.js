import fs from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { safeError } from '../log.js'

/**
 * The journal's file: records `[u32 length][u32 crc32 of the payload][payload]`, synced before anybody hears that they
 * are in it. Appends that arrive while a write is under way share the next one.
 *
 * @typedef {{bytes: Buffer, position: number, isSynced: boolean}} Group records that are being written together
 * @typedef {{record: Buffer, evenWhenFull: boolean, resolve: () => void, reject: (error: Error) => void}} Append
 */

const NAME = 'journal'
const HEADER_BYTES = 8
const MAX_PAYLOAD_BYTES = 64 * 1024 * 1024

export class JournalFull extends Error {
  code = 'journal_full'
}

export class JournalFile {
  /** @type {Append[]} */
  #gathering = []
  /** @type {Group | null} */
  #underWay = null
  #writing = false
  #isFailing = false
  #size = 0
  #path
  #folder
  #fd
  #limit
  #makeRoom
  #log

  /**
   * @param {object} options
   * @param {string} options.folder
   * @param {number} options.limit bytes
   * @param {() => void} options.makeRoom called before a record is refused for the limit, when nothing is being written
   * @param {import('../log.js').Logger} options.log
   */
  constructor({ folder, limit, makeRoom, log }) {
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
    fs.chmodSync(folder, 0o700)
    this.#folder = folder
    this.#path = join(folder, NAME)
    this.#fd = openPrivately(this.#path)
    this.#limit = limit
    this.#makeRoom = makeRoom
    this.#log = log
  }

  get size() {
    return this.#size
  }

  /**
   * What an earlier process left. A torn tail is cut off; from a damaged record on, everything is set aside.
   * @template T
   * @param {(payload: Buffer) => T | null} open null: it can't be opened
   * @returns {T[]} the records
   */
  read(open) {
    const bytes = fs.readFileSync(this.#path)
    const records = []
    for (let next = recordAt(bytes, 0); next.payload; next = recordAt(bytes, this.#size)) {
      const record = open(next.payload)
      if (!record) break
      records.push(record)
      this.#size = next.end
    }
    const rest = bytes.subarray(this.#size)
    if (rest.length === 0) return records
    if (isTornTail(rest)) this.#log.warn({ bytes: rest.length }, 'journal_torn_tail_cut_off')
    else this.#setAside(rest)
    fs.ftruncateSync(this.#fd, this.#size)
    fs.fdatasyncSync(this.#fd)
    return records
  }

  /**
   * @param {Buffer} payload
   * @param {{evenWhenFull?: boolean}} [options]
   * @returns {Promise<void>} when it is on the disk
   */
  append(payload, { evenWhenFull = false } = {}) {
    return new Promise((resolve, reject) => {
      this.#gathering.push({ record: recordOf(payload), evenWhenFull, resolve: () => resolve(undefined), reject })
      if (!this.#writing) this.#writeGathered()
    })
  }

  /** @returns {Promise<void>} when everything that was appended before is on the disk */
  sync() {
    return new Promise((resolve, reject) => {
      this.#gathering.push({ record: Buffer.alloc(0), evenWhenFull: true, resolve: () => resolve(undefined), reject })
      if (!this.#writing) this.#writeGathered()
    })
  }

  /**
   * Returns when it outlives this process, and with `synced` also the machine.
   * @param {Buffer} payload
   * @param {{synced: boolean}} options
   */
  appendSync(payload, { synced }) {
    const record = recordOf(payload)
    if (!this.#underWay && this.#size + record.length > this.#limit) this.#makeRoom()
    const group = this.#underWay?.isSynced ? null : this.#underWay
    const position = group ? group.position + group.bytes.length : this.#size
    if (position + record.length > this.#limit) throw this.#full()
    try {
      // A record behind a group that never arrived would be out of reach, so that group is written here too.
      if (group) writeAllSync(this.#fd, group.bytes, group.position)
      writeAllSync(this.#fd, record, position)
      if (synced || group) fs.fdatasyncSync(this.#fd)
    } catch (error) {
      this.#failed(error, position)
      throw error
    }
    if (group) group.isSynced = true
    this.#grown(position + record.length)
  }

  /**
   * Empties the file, unless something is being written. @param {{durably: boolean}} options
   * @returns {boolean} whether it is empty
   */
  clear({ durably }) {
    if (this.#writing) return false
    try {
      if (this.#size > 0) fs.ftruncateSync(this.#fd, 0)
      if (durably) fs.fdatasyncSync(this.#fd)
      this.#size = 0
    } catch (error) {
      this.#log.error(safeError(error), 'journal_not_emptied')
    }
    return this.#size === 0
  }

  /**
   * Another content, whole or not at all. Only from `makeRoom`.
   * @param {Iterable<Buffer>} payloads
   * @param {number} limit bytes; with more the file stays as it is
   */
  replace(payloads, limit) {
    const path = `${this.#path}.new`
    fs.rmSync(path, { force: true })
    const fd = openPrivately(path)
    const size = writeRecords(fd, payloads, limit)
    if (size === null) {
      fs.closeSync(fd)
      return fs.rmSync(path)
    }
    fs.renameSync(path, this.#path)
    syncFolder(this.#folder)
    fs.closeSync(this.#fd)
    this.#fd = fd
    this.#size = size
  }

  /** The end of the process closes what is being written. */
  close() {
    if (!this.#writing) fs.closeSync(this.#fd)
  }

  async #writeGathered() {
    this.#writing = true
    while (this.#gathering.length > 0) {
      const appends = this.#withRoom(this.#gathering.splice(0))
      if (appends.length === 0) continue
      try {
        await this.#writeGroup(Buffer.concat(appends.map(({ record }) => record)))
        for (const { resolve } of appends) resolve()
      } catch (error) {
        for (const { reject } of appends) reject(/** @type {Error} */ (error))
      }
    }
    this.#writing = false
  }

  /** @param {Append[]} appends @returns {Append[]} without those that are refused because there is no room */
  #withRoom(appends) {
    if (this.#size + bytesOf(appends) > this.#limit) this.#makeRoom()
    let end = this.#size
    return appends.filter(({ record, evenWhenFull, reject }) => {
      const fits = evenWhenFull || end + record.length <= this.#limit
      if (fits) end += record.length
      else reject(this.#full())
      return fits
    })
  }

  /** @param {Buffer} bytes */
  async #writeGroup(bytes) {
    /** @type {Group} */
    const group = { bytes, position: this.#size, isSynced: false }
    this.#underWay = group
    try {
      await writeAll(this.#fd, bytes, group.position)
      await datasync(this.#fd)
      this.#grown(group.position + bytes.length)
    } catch (error) {
      if (group.isSynced) return
      this.#failed(error, group.position)
      throw error
    } finally {
      this.#underWay = null
    }
  }

  #full() {
    return new JournalFull(`The journal is full (${this.#limit} bytes).`)
  }

  /** @param {number} size */
  #grown(size) {
    this.#size = Math.max(this.#size, size)
    if (this.#isFailing) this.#log.info({}, 'journal_writes_again')
    this.#isFailing = false
  }

  /** @param {unknown} error @param {number} end of what is good */
  #failed(error, end) {
    if (!this.#isFailing) this.#log.error(safeError(error), 'journal_write_failed')
    this.#isFailing = true
    try {
      fs.ftruncateSync(this.#fd, end)
    } catch {
      // The next record is written over the rest, and a rest that stays is cut off as a torn tail.
    }
  }

  /** @param {Buffer} rest */
  #setAside(rest) {
    const path = `${this.#path}.damaged-${Date.now()}`
    fs.writeFileSync(path, rest, { mode: 0o600, flush: true })
    syncFolder(this.#folder)
    this.#log.error({ path, bytes: rest.length }, 'journal_damaged_rest_set_aside')
  }
}

/** @param {Append[]} appends */
const bytesOf = appends => appends.reduce((bytes, { record }) => bytes + record.length, 0)

/** @param {Buffer} payload */
function recordOf(payload) {
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt32BE(payload.length, 0)
  header.writeUInt32BE(crc32(payload), 4)
  return Buffer.concat([header, payload])
}

/**
 * @param {Buffer} bytes
 * @param {number} start
 * @returns {{payload: Buffer | null, end: number}} null: there is no whole, undamaged record
 */
function recordAt(bytes, start) {
  if (bytes.length < start + HEADER_BYTES) return { payload: null, end: start }
  const end = start + HEADER_BYTES + bytes.readUInt32BE(start)
  const payload = bytes.subarray(start + HEADER_BYTES, end)
  const isWhole = payload.length > 0 && end <= bytes.length && crc32(payload) === bytes.readUInt32BE(start + 4)
  return { payload: isWhole ? payload : null, end }
}

/** Whether this is what a write leaves that was cut short: the bad record is the last. @param {Buffer} rest */
function isTornTail(rest) {
  if (rest.length < HEADER_BYTES || rest.every(byte => byte === 0)) return true
  const length = rest.readUInt32BE(0)
  if (length > MAX_PAYLOAD_BYTES) return false
  const payload = rest.subarray(HEADER_BYTES, HEADER_BYTES + length)
  // A whole one that can't be opened was sealed with a key that isn't given.
  const isGood = payload.length === length && length > 0 && crc32(payload) === rest.readUInt32BE(4)
  return !isGood && rest.length <= HEADER_BYTES + length
}

/** @param {string} path */
function openPrivately(path) {
  const fd = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600)
  fs.fchmodSync(fd, 0o600)
  return fd
}

/** @param {string} folder */
function syncFolder(folder) {
  const fd = fs.openSync(folder, 'r')
  fs.fsyncSync(fd)
  fs.closeSync(fd)
}

/**
 * @param {number} fd closed when this throws
 * @param {Iterable<Buffer>} payloads
 * @param {number} limit bytes
 * @returns {number | null} the bytes that are on the disk; null: more than the limit
 */
function writeRecords(fd, payloads, limit) {
  let size = 0
  try {
    for (const payload of payloads) {
      const record = recordOf(payload)
      if (size + record.length > limit) return null
      writeAllSync(fd, record, size)
      size += record.length
    }
    fs.fsyncSync(fd)
    return size
  } catch (error) {
    fs.closeSync(fd)
    throw error
  }
}

/** @param {number} fd @param {Buffer} bytes @param {number} position */
function writeAllSync(fd, bytes, position) {
  for (let done = 0; done < bytes.length;) done += fs.writeSync(fd, bytes, done, bytes.length - done, position + done)
}

/** @param {number} fd @param {Buffer} bytes @param {number} position */
async function writeAll(fd, bytes, position) {
  for (let done = 0; done < bytes.length;) done += await write(fd, bytes, done, position + done)
}

/** @type {(fd: number, bytes: Buffer, offset: number, position: number) => Promise<number>} */
function write(fd, bytes, offset, position) {
  return new Promise((resolve, reject) => fs.write(fd, bytes, offset, bytes.length - offset, position,
    (error, written) => error ? reject(error) : resolve(written)))
}

/** @type {(fd: number) => Promise<void>} */
function datasync(fd) {
  return new Promise((resolve, reject) => fs.fdatasync(fd, error => error ? reject(error) : resolve()))
}
