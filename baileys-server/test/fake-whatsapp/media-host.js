/**
 * WhatsApp's media host: keeps what is uploaded, encrypted as it is, and gives it to whoever knows the path. Phones of the
 * fake put files here and read them, as real ones do.
 */
import { createCipheriv, createDecipheriv, createHash, createHmac, randomBytes } from 'node:crypto'
import https from 'node:https'
import { getMediaKeys } from '@whiskeysockets/baileys'
import { selfSigned } from './self-signed.js'

/** @typedef {import('@whiskeysockets/baileys').proto.IMessage} Content */

const LOOPBACK = '127.0.0.1'
const MAC_BYTES = 10
const CIPHER = 'aes-256-cbc'

/** Fields of a message that are media, and the kind by which their keys differ. @type {Record<string, any>} */
const KINDS = {
  imageMessage: 'image',
  videoMessage: 'video',
  ptvMessage: 'video',
  audioMessage: 'audio',
  documentMessage: 'document',
  stickerMessage: 'sticker',
}

/**
 * What a phone made of a media message: `error` when it could not show it.
 *
 * @typedef {{field: string, size: number, sha256: string, mimetype: string} | {field: string, error: string}} SeenMedia
 */

export class MediaHost {
  constructor() {
    const { key, cert } = selfSigned()
    this.certificate = cert
    this.auth = randomBytes(12).toString('hex')
    /** @type {Map<string, Buffer>} by path */
    this.files = new Map()
    this.uploads = 0
    this.downloads = 0
    /** Answers of uploads and downloads instead of the true one, when set: a status. @type {number | undefined} */
    this.failWith = undefined
    this.server = https.createServer({ key, cert }, (request, response) => void this.#handle(request, response))
  }

  listen() {
    this.server.listen(0, LOOPBACK)
    return this.server
  }

  get hostname() {
    const address = /** @type {import('node:net').AddressInfo} */ (this.server.address())
    return `${LOOPBACK}:${address.port}`
  }

  /**
   * What a phone does before it sends: encrypts, and uploads.
   *
   * @param {string} field
   * @param {Buffer} content
   * @returns {Promise<Record<string, unknown>>} the fields that tell others where it is and how to read it
   */
  async put(field, content) {
    const mediaKey = randomBytes(32)
    const { iv, cipherKey, macKey } = /** @type {Record<string, Buffer>} */ (await getMediaKeys(mediaKey, KINDS[field]))
    const cipher = createCipheriv(CIPHER, cipherKey, iv)
    const ciphertext = Buffer.concat([cipher.update(content), cipher.final()])
    const mac = createHmac('sha256', macKey).update(iv).update(ciphertext).digest().subarray(0, MAC_BYTES)
    const file = Buffer.concat([ciphertext, mac])
    const fileEncSha256 = sha256(file)
    const directPath = this.#keep(file)
    const fileSha256 = sha256(content)
    return { url: this.#url(directPath), directPath, mediaKey, fileEncSha256, fileSha256, fileLength: content.length }
  }

  /**
   * What a phone makes of the media in a message: it checks everything that a phone checks.
   *
   * @param {Content} message
   * @returns {Promise<SeenMedia | null>} null when there is none
   */
  async see(message) {
    const inner = message.ephemeralMessage?.message ?? message.viewOnceMessage?.message ?? message
    const field = Object.keys(inner).find(name => KINDS[name])
    if (!field) return null
    try {
      const media = /** @type {any} */ (inner)[field]
      const content = await this.#read(field, media)
      return { field, size: content.length, sha256: sha256(content).toString('hex'), mimetype: media.mimetype }
    } catch (error) {
      return { field, error: String(error) }
    }
  }

  /** @param {string} field @param {any} media */
  async #read(field, { directPath, url, mediaKey, fileEncSha256, fileSha256, fileLength }) {
    const file = this.files.get(directPath)
    if (!file || url !== this.#url(directPath)) throw new Error('no such file')
    if (!mediaKey?.length) return checked(file, fileSha256, fileLength)
    if (!sha256(file).equals(fileEncSha256)) throw new Error('the file is not the one that was sent')
    const { iv, cipherKey, macKey } = /** @type {Record<string, Buffer>} */ (await getMediaKeys(mediaKey, KINDS[field]))
    const ciphertext = file.subarray(0, -MAC_BYTES)
    const mac = createHmac('sha256', macKey).update(iv).update(ciphertext).digest().subarray(0, MAC_BYTES)
    if (!mac.equals(file.subarray(-MAC_BYTES))) throw new Error('the file has a wrong HMAC')
    const decipher = createDecipheriv(CIPHER, cipherKey, iv)
    const content = Buffer.concat([decipher.update(ciphertext), decipher.final()])
    return checked(content, fileSha256, fileLength)
  }

  /** @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
  async #handle(request, response) {
    const chunks = []
    try {
      for await (const chunk of request) chunks.push(chunk)
    } catch {
      return
    }
    const url = new URL(request.url ?? '/', 'https://host')
    if (this.failWith) return void response.writeHead(this.failWith).end('{}')
    if (request.method === 'POST') return this.#takeUpload(url, Buffer.concat(chunks), response)
    const file = this.files.get(url.pathname)
    if (!file) return void response.writeHead(404).end()
    this.downloads++
    response.writeHead(200, { 'content-length': file.length }).end(file)
  }

  /** @param {URL} url @param {Buffer} file @param {import('node:http').ServerResponse} response */
  #takeUpload(url, file, response) {
    const token = url.pathname.split('/').at(-1) ?? ''
    const named = Buffer.from(decodeURIComponent(token), 'base64url')
    const right = url.searchParams.get('auth') === this.auth && url.pathname.startsWith('/mms/') && named.equals(sha256(file))
    if (!right) return void response.writeHead(401).end('{}')
    this.uploads++
    const directPath = this.#keep(file)
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ url: this.#url(directPath), direct_path: directPath }))
  }

  /** @param {Buffer} file */
  #keep(file) {
    const path = `/v/t62.7118-24/${sha256(file).toString('hex')}.enc`
    this.files.set(path, file)
    return path
  }

  /** @param {string} directPath */
  #url(directPath) {
    return `https://${this.hostname}${directPath}`
  }
}

/** @param {Buffer} content @param {Uint8Array} digest @param {any} length */
function checked(content, digest, length) {
  if (!sha256(content).equals(digest) || content.length !== Number(length)) throw new Error('the content is not the one that was sent')
  return content
}

/** @param {Buffer} bytes */
const sha256 = bytes => createHash('sha256').update(bytes).digest()
