/**
 * How a simulated phone reads a companion's message: it decrypts, says so with a delivery receipt, and asks again when
 * it can't, as a real phone does.
 */
import { proto, unpadRandomMax16 } from '@whiskeysockets/baileys'
import { bundleNodes } from './key-queries.js'
import { receiptKey } from './mailbox.js'
import { bigEndian, isGroup, isStatus, node, nowSeconds } from './stanza.js'

/** @typedef {import('./from-companion.js').Copy} Copy */
/** @typedef {import('./ledger.js').Tracked} Tracked */
/** @typedef {import('./world.js').World} World */
/** @typedef {import('@whiskeysockets/baileys').proto.IMessage} Content */

/** Phones ask for a resend without keys first. */
const FIRST_TRY_WITH_KEYS = 2

/**
 * @param {World} world
 * @param {Copy} copy
 */
export function openCopy(world, copy) {
  const { sender, target, id, chat } = copy
  const key = `out ${sender.user.phone} ${id} ${target.user.phone}`
  const record = world.ledger.find(key) ?? world.ledger.open(key, {
    id,
    direction: 'out',
    from: sender.jid,
    to: target.user.pn,
    chat,
    account: sender.user.phone,
    status: 'received',
    own_phone: target.user === sender.user,
  })
  world.background(target.user.peer.run(() => read(world, copy, record)))
}

/**
 * @param {World} world
 * @param {Copy} copy
 * @param {Tracked} record
 */
async function read(world, copy, record) {
  const { text, message, failure } = await decryptAll(copy)
  if (failure) world.violations.count('decrypt_failures', failureDetail(copy, failure))
  // A group copy can carry an unreadable sender key beside a message that an older one opens.
  if (text !== undefined) return acceptCopy(world, copy, record, text, message)
  // Like a phone, which drops what it has read already.
  if (record.status !== 'decrypted') askAgain(world, copy, record)
}

/**
 * @param {Copy} copy
 * @returns {Promise<{text: string | null | undefined, message: Content | null, failure: unknown}>} text undefined when the content stayed closed
 */
async function decryptAll(copy) {
  let text, failure
  /** @type {Content | null} */
  let message = null
  for (const enc of copy.encs) {
    try {
      const content = await decryptOne(copy, enc)
      if (content.carriesMessage) ({ text, message } = content)
    } catch (error) {
      failure = error
    }
  }
  // A stanza that brought nothing but a sender key was read in full.
  return { text: text === undefined && failure === undefined ? null : text, message, failure }
}

/**
 * @param {Copy} copy
 * @param {{type: string, ciphertext: Buffer}} enc
 */
async function decryptOne({ sender, target, chat }, { type, ciphertext }) {
  const { peer } = target.user
  const padded =
    type === 'skmsg'
      ? await peer.decryptGroup(chat, sender.address, ciphertext)
      : await peer.decrypt(sender.address, type, ciphertext)
  const decoded = proto.Message.decode(unpadRandomMax16(padded))
  const message = decoded.deviceSentMessage?.message ?? decoded
  const shared = message.senderKeyDistributionMessage
  if (shared?.groupId && shared.axolotlSenderKeyDistributionMessage) {
    await peer.acceptSenderKey(shared.groupId, sender.address, shared.axolotlSenderKeyDistributionMessage)
  }
  const text = message.conversation || message.extendedTextMessage?.text || null
  const fields = Object.keys(message)
  const contentFields = fields.filter(name => name !== 'senderKeyDistributionMessage' && name !== 'messageContextInfo')
  return { text, message, carriesMessage: contentFields.length > 0 }
}

/**
 * @param {World} world
 * @param {Copy} copy
 * @param {Tracked} record
 * @param {string | null} text
 * @param {Content | null} content
 */
async function acceptCopy(world, copy, record, text, content) {
  const media = content && (await world.media.see(content))
  if (media && 'error' in media) world.violations.count('media_broken', { id: copy.id, ...media })
  if (record.status === 'decrypted') world.ledger.update(record, { duplicates: record.duplicates + 1 })
  else {
    const seen = { text, content, media, edit: copy.stanza.attrs.edit ?? null }
    world.ledger.update(record, { status: 'decrypted', ...seen, shown: ++world.ledger.shown, retryAskedAt: undefined })
  }
  if (text !== null) nameTextForCompanions(world, copy, text)
  put(copy, { type: record.own_phone ? 'sender' : undefined }, [])
}

/**
 * What another companion got is closed to the server, but its phone got the same.
 *
 * @param {World} world
 * @param {Copy} copy
 * @param {string} text
 */
function nameTextForCompanions(world, { id, target }, text) {
  for (const device of target.user.companions.values()) {
    const record = world.ledger.find(`in ${device.jid} ${id}`)
    if (record?.text === null) world.ledger.update(record, { text })
  }
}

/**
 * @param {World} world
 * @param {Copy} copy
 * @param {Tracked} record
 */
function askAgain(world, copy, record) {
  const tries = record.tries + 1
  if (tries > world.options.maxTries) return world.ledger.update(record, { status: 'undecryptable', tries })
  world.ledger.update(record, { status: 'retrying', tries, retryAskedAt: undefined })
  world.later(world.options.retryDelayMs * tries, () => {
    const { peer } = copy.target.user
    const retry = node('retry', { count: String(tries), id: copy.id, t: nowSeconds(), v: '1' })
    const registration = node('registration', {}, bigEndian(peer.registrationId, 4))
    const keys = tries >= FIRST_TRY_WITH_KEYS ? [node('keys', {}, bundleNodes(peer.takeBundle()))] : []
    // The wait for an answer begins when the companion got the question, which may be after its next login.
    const onSent = () => world.ledger.update(record, { retryAskedAt: Date.now() })
    put(copy, { type: 'retry' }, [retry, registration, ...keys], onSent)
  })
}

/**
 * Sends the companion a receipt, from the address that it wrote to.
 *
 * @param {Copy} copy
 * @param {{type: string | undefined}} kind
 * @param {import('./stanza.js').BinaryNode[]} content
 * @param {() => void} [onSent]
 */
function put({ sender, target, id, chat, asLid }, { type }, content, onSent) {
  const author = target.user.jidAs(asLid)
  const own = target.user === sender.user
  const place = isGroup(chat) || isStatus(chat) ? { from: chat, participant: author } : { from: author, recipient: own ? chat : undefined }
  const attrs = { ...place, id, type, t: nowSeconds() }
  sender.mailbox.put(receiptKey(attrs, attrs.from), node('receipt', attrs, content.length ? content : undefined), { onSent })
}

/**
 * @param {Copy} copy
 * @param {unknown} failure
 */
function failureDetail({ sender, target, id, encs }, failure) {
  const types = encs.map(enc => enc.type).join('+')
  return { device: sender.jid, recipient: target.user.pn, id, types, error: String(failure) }
}
