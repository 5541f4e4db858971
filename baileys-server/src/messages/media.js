import { unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { getAudioDuration, normalizeMessageContent } from '@whiskeysockets/baileys'
import { ControlError } from '../connections/control-error.js'
import { safeError } from '../log.js'
import { checking, decrypting, digestOf, encryptFile } from './media-crypto.js'
import { pictureFacts } from './pictures.js'

/**
 * Media files between the private folder that the orchestrator fills, and WhatsApp's media hosts. Files are streams all the
 * way: none is ever in memory as a whole.
 *
 * @typedef {'image' | 'video' | 'audio' | 'voice' | 'document' | 'sticker'} Kind
 * @typedef {{file: string, mimetype: string}} MediaFile `file` is a name in the folder
 * @typedef {import('@whiskeysockets/baileys').proto.IMessage} Content
 * @typedef {{signal: AbortSignal, dispatcher?: import('undici').Dispatcher}} Way of a download: until nobody wants it any more,
 *   and through the session's proxy, if it has one
 */

/** WhatsApp's host answers within a second; a large file takes as long as it takes, as long as it moves. */
const UPLOAD_SILENCE_MS = 60_000
const DOWNLOAD_ANSWER_MS = 30_000
const ORIGIN = 'https://web.whatsapp.com'
const GONE = [403, 404, 410]
const MIMETYPE = /^[a-z0-9][a-z0-9.+-]{0,80}\/[a-z0-9][a-z0-9.+-]{0,80}(; ?[\x20-\x7e]{1,80})?$/i
const WHATSAPP_HOST = /^[a-z0-9.-]+\.whatsapp\.net$/

/** @type {Record<Kind, import('./media-crypto.js').MediaKind>} */
const WIRE_KINDS = { image: 'image', video: 'video', audio: 'audio', voice: 'audio', document: 'document', sticker: 'sticker' }

/** @type {[field: keyof Content, kind: Kind][]} */
const FIELDS = [
  ['imageMessage', 'image'], ['videoMessage', 'video'], ['ptvMessage', 'video'], ['audioMessage', 'audio'],
  ['documentMessage', 'document'], ['stickerMessage', 'sticker']
]

/**
 * The media of a message, with the kind that people call it.
 * @param {Content | null | undefined} message
 * @returns {{kind: Kind, media: any} | null}
 */
export function mediaIn(message) {
  const content = normalizeMessageContent(message)
  const found = FIELDS.find(([field]) => content?.[field])
  if (!content || !found) return null
  const media = /** @type {any} */ (content[found[0]])
  return { kind: found[1] === 'audio' && media.ptt ? 'voice' : found[1], media }
}

export class Media {
  #folder
  #log

  /** @param {string | null} folder null: media can't be sent @param {import('../log.js').Logger} log */
  constructor(folder, log) {
    this.#folder = folder
    this.#log = log
  }

  /** @param {string} file @returns {string} */
  path(file) {
    if (this.#folder === null) throw new ControlError('media_missing', 'This sidecar has no MEDIA_DIR.')
    return join(this.#folder, file)
  }

  /**
   * Encrypts a file, unless everybody may read it, and hands it to WhatsApp's media host.
   * @param {any} sock Baileys' socket
   * @param {Kind} kind
   * @param {MediaFile} media
   * @param {{open?: boolean}} [how] open: a channel's files are there as they are
   * @returns {Promise<Record<string, unknown>>} the fields of its proto message, what can be seen in the file included
   */
  async upload(sock, kind, { file, mimetype }, { open = false } = {}) {
    const path = this.path(file)
    const encryptedPath = `${path}.encrypted`
    const wireKind = WIRE_KINDS[kind]
    try {
      const facts = this.#factsOf(kind, path)
      const sealed = open ? null : await encryptFile(path, encryptedPath, wireKind)
      const described = sealed ?? await digestOf(path)
      const uploaded = await sock.waUploadToServer(sealed ? encryptedPath : path, {
        mediaType: wireKind, fileEncSha256B64: (sealed?.fileEncSha256 ?? described.fileSha256).toString('base64'), timeoutMs: UPLOAD_SILENCE_MS
      })
      const { mediaUrl: url, directPath } = uploaded
      const sealedAt = sealed ? { mediaKeyTimestamp: Math.floor(Date.now() / 1000) } : {}
      return { ...await facts, ...described, url, directPath, mimetype, ...sealedAt }
    } catch (error) {
      if (/** @type {any} */ (error).code === 'ENOENT') throw new ControlError('media_missing', 'The media file is not in the folder.', { cause: error })
      throw error
    } finally {
      await unlink(encryptedPath).catch(() => {})
    }
  }

  /**
   * @param {any} sock Baileys' socket
   * @param {Content} message
   * @param {Way} way
   * @returns {Promise<{stream: Readable, mimetype: string}>}
   */
  async download(sock, message, way) {
    const found = mediaIn(message)
    if (!found?.media.mediaKey && !found?.media.fileSha256?.length) throw new ControlError('media_not_found', 'The message has no media.')
    const { kind, media } = found
    const { host, path } = await placeOf(sock, media)
    const answer = await this.#ask(`https://${host}${path}`, way)
    const file = Readable.fromWeb(/** @type {import('node:stream/web').ReadableStream} */ (answer.body))
    return {
      // What is in a channel is open to everybody.
      stream: media.mediaKey?.length ? await decrypting(file, media.mediaKey, WIRE_KINDS[kind]) : checking(file, media.fileSha256),
      // Of its sender's choice, and to be a header. So is the length, which would only have to be wrong to do harm.
      mimetype: MIMETYPE.test(media.mimetype ?? '') ? media.mimetype : 'application/octet-stream'
    }
  }

  /** @param {string} url @param {Way} way */
  async #ask(url, { signal, dispatcher }) {
    const inTime = new AbortController()
    const timer = setTimeout(() => inTime.abort(), DOWNLOAD_ANSWER_MS)
    try {
      const options = { headers: { origin: ORIGIN }, signal: AbortSignal.any([signal, inTime.signal]), dispatcher }
      const answer = await fetch(url, /** @type {any} */ (options))
      if (answer.ok && answer.body) return answer
      await answer.body?.cancel()
      if (GONE.includes(answer.status)) throw new ControlError('media_expired', 'WhatsApp does not keep this file any more.')
      throw new ControlError('media_host_unreachable', `WhatsApp's media host answered with ${answer.status}.`)
    } catch (error) {
      if (error instanceof ControlError) throw error
      this.#log.warn(safeError(error), 'media_host_failed')
      throw new ControlError('media_host_unreachable', "WhatsApp's media host did not answer.", { cause: error })
    } finally {
      clearTimeout(timer)
    }
  }

  /** @param {Kind} kind @param {string} path @returns {Promise<Record<string, unknown>>} */
  async #factsOf(kind, path) {
    if (kind === 'image' || kind === 'sticker') {
      const { pages = 1, ...facts } = await pictureFacts(path, this.#log)
      return kind === 'image' ? facts : { width: facts.width, height: facts.height, isAnimated: pages > 1 }
    }
    if (kind === 'document') return {}
    const seconds = await getAudioDuration(path).catch(() => undefined)
    return seconds === undefined ? {} : { seconds: Math.round(seconds) }
  }
}

/**
 * Where WhatsApp keeps a file. The sender chose what is in the message: its path may be anywhere on WhatsApp's hosts, but never
 * on another one, which this service would then call on the sender's behalf.
 * @param {any} sock
 * @param {{directPath?: string | null, url?: string | null}} media
 */
async function placeOf(sock, { directPath, url }) {
  const given = url && URL.canParse(url) ? new URL(url) : null
  const path = directPath?.startsWith('/') ? directPath : given && given.pathname + given.search
  if (!path || /[\s\\#]/.test(path)) throw new ControlError('media_not_found', 'The message does not say where its media is.')
  if (given && WHATSAPP_HOST.test(given.host)) return { host: given.host, path }
  try {
    await sock.refreshMediaConn(false)
  } catch (error) {
    throw new ControlError('media_host_unreachable', 'WhatsApp did not say where its media hosts are.', { cause: error })
  }
  return { host: sock.getMediaHost(), path }
}
