import { createPrivateKey, createPublicKey } from 'node:crypto'
import { jidDecode } from '@whiskeysockets/baileys'
import { decode } from './codec.js'

/**
 * What is looked at before a restored auth state opens a socket. A wrong identity must never be shown to WhatsApp; keys
 * that are missing are told, because what repairs them happens elsewhere:
 *
 * - Pre-keys: at login Baileys 7.0.0-rc14 looks for the newest and uploads five new ones when it isn't there. Contacts
 *   who got one of the lost ones from the server are asked to send again.
 * - The app-state key: Baileys parks the collections of settings that need it until the phone shares it again. Messages
 *   don't need it.
 *
 * @typedef {import('@whiskeysockets/baileys').AuthenticationCreds} Creds
 */

/** The stored creds exist and nothing may be concluded from them, above all not that there are none. */
export class UnusableCreds extends Error {
  code = 'unusable_creds'
}

/** A used pre-key is deleted, also the newest: a retry receipt makes one, and its answer uses it at once. */
const NEWEST_PRE_KEYS = 30
/** What stands before the 32 bytes of a private key in PKCS #8, and of a public key in SPKI: the algorithm, X25519. */
const PKCS8_X25519 = Buffer.from('302e020100300506032b656e04220420', 'hex')
const SPKI_X25519_BYTES = 12

/**
 * @param {string} text
 * @param {{jid: string}} account the account that the orchestrator has recorded for this generation
 * @returns {Creds} of a paired account, and of that one
 * @throws {UnusableCreds}
 */
export function credsOf(text, account) {
  const creds = pairedCreds(text)
  if (jidDecode(creds.me?.id)?.user !== jidDecode(account.jid)?.user) {
    throw new UnusableCreds('The stored creds are those of another account than the recorded one.')
  }
  return creds
}

/**
 * Not with `credsOf`: it costs more than the rest of a restore, and is needed only by a session whose turn it is.
 * @param {Creds} creds
 * @throws {UnusableCreds}
 */
export function checkIdentity(creds) {
  for (const name of /** @type {const} */ (['noiseKey', 'signedIdentityKey'])) {
    if (!isKeyPair(creds[name])) throw new UnusableCreds(`The two halves of the stored ${name} do not belong together.`)
  }
}

/**
 * @param {Creds} creds
 * @param {{get: (type: string, ids: string[]) => Promise<Record<string, any>>}} keys
 * @returns {Promise<string[]>} `pre-key`, `app-state-sync-key`
 */
export async function missingKeys(creds, keys) {
  const missing = []
  if (!(await hasNewestPreKey(creds, keys))) missing.push('pre-key')
  const appStateKey = creds.myAppStateKeyId
  if (appStateKey && !(appStateKey in await keys.get('app-state-sync-key', [appStateKey]))) missing.push('app-state-sync-key')
  return missing
}

/** @param {Creds} creds @param {Parameters<typeof missingKeys>[1]} keys */
async function hasNewestPreKey({ nextPreKeyId }, keys) {
  const newest = nextPreKeyId - 1
  // A freshly paired account has made none yet.
  if (newest < 1) return true
  if (String(newest) in await keys.get('pre-key', [String(newest)])) return true
  const before = Array.from({ length: Math.min(NEWEST_PRE_KEYS, newest) }, (_, n) => String(newest - n))
  return Object.keys(await keys.get('pre-key', before)).length > 0
}

/** @param {string} text @returns {Creds} */
function pairedCreds(text) {
  let creds
  try {
    creds = decode(text)
  } catch {
    throw new UnusableCreds('The stored creds are not readable.')
  }
  const complete = creds?.me?.id && creds.account && creds.noiseKey?.private && creds.signedIdentityKey?.private
  if (!complete) throw new UnusableCreds('The stored creds are not those of a paired account.')
  return creds
}

/** @param {import('@whiskeysockets/baileys').KeyPair} pair */
function isKeyPair({ private: privateKey, public: publicKey }) {
  try {
    const key = createPrivateKey({ key: Buffer.concat([PKCS8_X25519, privateKey]), format: 'der', type: 'pkcs8' })
    return createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(SPKI_X25519_BYTES).equals(publicKey)
  } catch {
    return false
  }
}
