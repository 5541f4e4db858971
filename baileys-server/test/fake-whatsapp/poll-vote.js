/** A vote as a phone encrypts it, for the author of the poll and its readers. */
import { createCipheriv, createHash, createHmac, randomBytes } from 'node:crypto'

/**
 * @param {{pollId: string, creator: string, voter: string, secret: Uint8Array, options: string[]}} vote
 * @returns {{encPayload: Buffer, encIv: Buffer}}
 */
export function encryptedVote({ pollId, creator, voter, secret, options }) {
  const key0 = createHmac('sha256', Buffer.alloc(32)).update(secret).digest()
  const info = Buffer.concat([...[pollId, creator, voter, 'Poll Vote'].map(text => Buffer.from(text)), Buffer.from([1])])
  const key = createHmac('sha256', key0).update(info).digest()
  const encIv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key, encIv).setAAD(Buffer.from(`${pollId}\u0000${voter}`))
  const chosen = options.map(option => createHash('sha256').update(option).digest())
  const vote = Buffer.concat(chosen.flatMap(hash => [Buffer.from([0x0a, hash.length]), hash]))
  return { encPayload: Buffer.concat([cipher.update(vote), cipher.final(), cipher.getAuthTag()]), encIv }
}
