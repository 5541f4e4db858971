/** Pictures, abouts and block lists. */
import { bytes, child, firstChild, iqError, iqResult, node, nowSeconds } from './stanza.js'

/** @typedef {import('./device.js').Device} Device */
/** @typedef {import('./user.js').User} User */
/** @typedef {import('./registry.js').Group} Group */
/** @typedef {import('./world.js').World} World */
/** @typedef {import('./stanza.js').BinaryNode} BinaryNode */

/**
 * @param {World} world
 * @param {Device} device
 * @param {BinaryNode} iq
 */
export function answerPicture(world, device, iq) {
  const { target, type } = iq.attrs
  const owner = target ? world.registry.groups.get(target) ?? world.registry.userOf(target) : device.user
  if (!owner) return iqError(iq, 404, 'item-not-found')
  if (type === 'get') return pictureOf(world, device, iq, owner)
  if (target && !mayChange(owner, device.user)) return iqError(iq, 403, 'forbidden')
  const picture = bytes(iq, 'picture')
  if (picture && picture.readUIntBE(0, 3) !== 0xffd8ff) return iqError(iq, 406, 'not-acceptable')
  owner.picture = picture ? { id: world.stanzaId(), size: picture.length } : undefined
  world.seen.note('picture', device.user.phone, { of: target ?? null, bytes: picture?.length ?? null })
  return iqResult(iq, owner.picture ? [node('picture', { id: owner.picture.id })] : [])
}

/** @param {World} world @param {Device} device @param {BinaryNode} iq @param {User | Group} owner */
function pictureOf(world, device, iq, owner) {
  if ('hidesPicture' in owner && owner.hidesPicture && owner !== device.user) return iqError(iq, 401, 'not-authorized')
  if (!owner.picture) return iqError(iq, 404, 'item-not-found')
  const type = firstChild(iq)?.attrs.type ?? 'preview'
  return iqResult(iq, [node('picture', { id: owner.picture.id, type, url: `https://pps.example/${owner.picture.id}-${type}.jpg` })])
}

/** @param {User | Group} owner @param {User} user */
const mayChange = (owner, user) => 'members' in owner ? owner.admins.has(user) : owner === user

/**
 * @param {World} world
 * @param {Device} device
 * @param {BinaryNode} iq
 */
export function setAbout(world, device, iq) {
  const about = bytes(iq, 'status')?.toString() ?? ''
  device.user.about = { text: about, at: nowSeconds() }
  world.seen.note('about', device.user.phone, { about })
  return iqResult(iq)
}

/** @param {BinaryNode} iq @param {Device} device */
export function blockList(iq, device) {
  return iqResult(iq, [node('list', {}, [...device.user.blocked].map(user => node('item', { jid: user.lid })))])
}

/**
 * @param {World} world
 * @param {Device} device
 * @param {BinaryNode} iq
 */
export function changeBlockList(world, device, iq) {
  const { jid, action } = child(iq, 'item')?.attrs ?? {}
  const user = world.registry.userOf(jid)
  if (!user) return iqError(iq, 404, 'item-not-found')
  if (action === 'block') device.user.blocked.add(user)
  else device.user.blocked.delete(user)
  world.seen.note('blocklist', device.user.phone, { action, user: user.pn })
  return blockList(iq, device)
}
