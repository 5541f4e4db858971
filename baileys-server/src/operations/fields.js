import { ControlError } from '../connections/control-error.js'

/**
 * Readers of the bodies of operations: each takes a value that came over the wire and gives it back as what it must be,
 * or names the field that is wrong.
 *
 * @template T
 * @typedef {(value: unknown, name: string) => T} Reader
 */

const USER = /^\d{5,20}@(s\.whatsapp\.net|lid)$/
const GROUP = /^[\d-]{5,40}@g\.us$/
const CHANNEL = /^\d{5,30}@newsletter$/

/** @param {string} name @param {string} must */
const wrong = (name, must) => new ControlError('invalid_request', `${name} must be ${must}.`)

/**
 * @param {number} least characters
 * @param {number} most
 * @returns {Reader<string>}
 */
export const text = (least, most) => (value, name) => {
  if (typeof value === 'string' && value.length >= least && value.length <= most) return value
  throw wrong(name, `${least} to ${most} characters`)
}

/** @param {RegExp[]} patterns @param {string} what @returns {Reader<string>} */
const matching = (patterns, what) => (value, name) => {
  if (typeof value === 'string' && patterns.some(pattern => pattern.test(value))) return value
  throw wrong(name, what)
}

export const user = matching([USER], 'the JID of a contact (@s.whatsapp.net, @lid)')
export const group = matching([GROUP], 'the JID of a group (@g.us)')
export const chat = matching([USER, GROUP], 'the JID of a contact (@s.whatsapp.net, @lid) or of a group (@g.us)')
export const channel = matching([CHANNEL], 'the JID of a channel (@newsletter)')
export const digits = matching([/^[1-9]\d{6,14}$/], '7 to 15 digits with the country code')
export const code = matching([/^[\w-]{4,64}$/], 'an invite code')

/** @type {Reader<boolean>} */
export const flag = (value, name) => {
  if (typeof value === 'boolean') return value
  throw wrong(name, 'true or false')
}

/** @param {number} least @param {number} most @returns {Reader<number>} */
export const integer = (least, most) => (value, name) => {
  if (Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= most) return Number(value)
  throw wrong(name, `a whole number from ${least} to ${most}`)
}

/**
 * @template {string} T
 * @param {...T} words
 * @returns {Reader<T>}
 */
export const oneOf = (...words) => (value, name) => {
  if (words.includes(/** @type {T} */ (value))) return /** @type {T} */ (value)
  throw wrong(name, `one of ${words.join(', ')}`)
}

/**
 * @template T
 * @param {Reader<T>} reader of each
 * @param {number} least
 * @param {number} most
 * @returns {Reader<T[]>}
 */
export const list = (reader, least, most) => (value, name) => {
  if (!Array.isArray(value) || value.length < least || value.length > most) throw wrong(name, `a list of ${least} to ${most}`)
  return value.map((each, index) => reader(each, `${name}[${index}]`))
}

/**
 * A field that may be missing or null, which is the same.
 * @template T
 * @param {Reader<T>} reader
 * @returns {Reader<T | undefined>}
 */
export const optional = reader => (value, name) => value === undefined || value === null ? undefined : reader(value, name)

/**
 * An object with these fields and no others.
 * @template {Record<string, Reader<any>>} R
 * @param {R} readers
 * @returns {Reader<{[K in keyof R]: ReturnType<R[K]>}>}
 */
export const record = readers => (value, name) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(name || 'The body', 'a JSON object')
  const path = (/** @type {string} */ field) => name ? `${name}.${field}` : field
  const unknown = Object.keys(value).find(field => !Object.hasOwn(readers, field))
  if (unknown !== undefined) throw new ControlError('invalid_request', `${path(unknown).slice(0, 100)} is not a field of this operation.`)
  const given = /** @type {Record<string, unknown>} */ (value)
  return /** @type {any} */ (Object.fromEntries(Object.entries(readers).map(([field, reader]) => [field, reader(given[field], path(field))])))
}
