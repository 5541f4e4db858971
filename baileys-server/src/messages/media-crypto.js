import { createCipheriv, createDecipheriv, createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { PassThrough, pipeline as pipe, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { getMediaKeys } from '@whiskeysockets/baileys'

/**
 * WhatsApp's media files: AES-256-CBC, then the first 10 bytes of an HMAC over the initialization vector and all that.
 * Baileys has both directions too, but a disk that fills up, or a download that breaks, makes an error event there that
 * nobody listens to and that ends the process; and it doesn't look at the HMAC.
 *
 * @typedef {'image' | 'video' | 'audio' | 'document' | 'sticker'} MediaKind of WhatsApp, by which the keys differ
 */

const CIPHER = 'aes-256-cbc'
const MAC_BYTES = 10

/**
 * @param {string} path
 * @param {string} encryptedPath a file that doesn't exist yet
 * @param {MediaKind} kind
 * @returns {Promise<{mediaKey: Buffer, fileSha256: Buffer, fileEncSha256: Buffer, fileLength: number}>} named as in the proto
 */
export async function encryptFile(path, encryptedPath, kind) {
  const mediaKey = randomBytes(32)
  const { cipherKey, iv, macKey } = await keysOf(mediaKey, kind)
  const plain = createHash('sha256')
  const encrypted = createHash('sha256')
  const mac = createHmac('sha256', macKey).update(iv)
  let fileLength = 0
  const measure = new Transform({
    transform(chunk, _encoding, done) {
      fileLength += chunk.length
      plain.update(chunk)
      done(null, chunk)
    }
  })
  const seal = new Transform({
    transform(chunk, _encoding, done) {
      mac.update(chunk)
      encrypted.update(chunk)
      done(null, chunk)
    },
    flush(done) {
      const tag = mac.digest().subarray(0, MAC_BYTES)
      encrypted.update(tag)
      done(null, tag)
    }
  })
  const target = createWriteStream(encryptedPath, { flags: 'wx', mode: 0o600 })
  await pipeline(createReadStream(path), measure, createCipheriv(CIPHER, cipherKey, iv), seal, target)
  return { mediaKey, fileSha256: plain.digest(), fileEncSha256: encrypted.digest(), fileLength }
}

/**
 * @param {string} path
 * @returns {Promise<{fileSha256: Buffer, fileLength: number}>} named as in the proto
 */
export async function digestOf(path) {
  const plain = createHash('sha256')
  let fileLength = 0
  for await (const chunk of createReadStream(path)) {
    fileLength += chunk.length
    plain.update(chunk)
  }
  return { fileSha256: plain.digest(), fileLength }
}

/**
 * The content of an encrypted file as fast as it is read. A file that isn't what its sender encrypted ends in an error, and
 * its last block is never given.
 * @param {import('node:stream').Readable} encrypted
 * @param {Uint8Array} mediaKey
 * @param {MediaKind} kind
 * @returns {Promise<import('node:stream').Readable>}
 */
export async function decrypting(encrypted, mediaKey, kind) {
  const { cipherKey, iv, macKey } = await keysOf(mediaKey, kind)
  const decipher = createDecipheriv(CIPHER, cipherKey, iv)
  const content = new PassThrough()
  pipe(encrypted, withoutMac(createHmac('sha256', macKey).update(iv)), decipher, content, () => {})
  return content
}

/**
 * The content of an open file as fast as it is read; of one that isn't what was described, the last piece is never given.
 * @param {import('node:stream').Readable} file
 * @param {Uint8Array} sha256
 * @returns {import('node:stream').Readable}
 */
export function checking(file, sha256) {
  const hash = createHash('sha256')
  /** @type {Buffer} */
  let held = Buffer.alloc(0)
  const content = new PassThrough()
  const check = new Transform({
    transform(chunk, _encoding, done) {
      hash.update(chunk)
      const piece = held
      held = chunk
      done(null, piece)
    },
    flush(done) {
      if (hash.digest().equals(sha256)) done(null, held)
      else done(new Error('The media file is damaged.'))
    }
  })
  pipe(file, check, content, () => {})
  return content
}

/** @param {import('node:crypto').Hmac} mac */
function withoutMac(mac) {
  /** @type {Buffer} the last bytes so far, which may be the tag */
  let held = Buffer.alloc(0)
  return new Transform({
    transform(chunk, _encoding, done) {
      const all = Buffer.concat([held, chunk])
      const length = Math.max(0, all.length - MAC_BYTES)
      held = all.subarray(length)
      mac.update(all.subarray(0, length))
      done(null, all.subarray(0, length))
    },
    flush(done) {
      const expected = mac.digest().subarray(0, MAC_BYTES)
      done(held.length === MAC_BYTES && timingSafeEqual(held, expected) ? null : new Error('The media file is damaged.'))
    }
  })
}

/** @param {Uint8Array} mediaKey @param {MediaKind} kind */
async function keysOf(mediaKey, kind) {
  return /** @type {{cipherKey: Buffer, iv: Buffer, macKey: Buffer}} */ (await getMediaKeys(mediaKey, kind))
}
