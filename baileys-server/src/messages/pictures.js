/**
 * What a phone shows of a picture before it loaded it. Decoding runs outside of the event loop (libvips' threads): a
 * picture of one session must not hold up the others.
 */

const THUMBNAIL_PIXELS = 72
const THUMBNAIL_QUALITY = 50
/** A small file can decode to gigabytes. */
const MAX_PIXELS = 100_000_000

/** @type {Promise<typeof import('sharp').default | null> | null} */
let loading = null

/**
 * @param {string | Buffer} picture a path or its bytes
 * @param {import('../log.js').Logger} log
 * @returns {Promise<{width?: number, height?: number, pages?: number, jpegThumbnail?: Buffer}>} nothing for what isn't a picture
 */
export async function pictureFacts(picture, log) {
  loading ??= loadSharp(log)
  const sharp = await loading
  if (!sharp) return {}
  try {
    const options = /** @type {const} */ ({ limitInputPixels: MAX_PIXELS, failOn: 'none' })
    const { autoOrient, pages } = await sharp(picture, options).metadata()
    const jpegThumbnail = await sharp(picture, options).autoOrient()
      .resize(THUMBNAIL_PIXELS, THUMBNAIL_PIXELS, { fit: 'inside' }).flatten({ background: '#ffffff' })
      .jpeg({ quality: THUMBNAIL_QUALITY }).toBuffer()
    return { width: autoOrient.width, height: autoOrient.height, pages, jpegThumbnail }
  } catch {
    return {}
  }
}

/** Without the library for this platform messages go out without thumbnails. @param {import('../log.js').Logger} log */
async function loadSharp(log) {
  try {
    const { default: sharp } = await import('sharp')
    sharp.cache(false)
    sharp.concurrency(1)
    return sharp
  } catch (error) {
    log.warn({ error: String(/** @type {Error} */ (error).message).slice(0, 200) }, 'no_thumbnails')
    return null
  }
}
