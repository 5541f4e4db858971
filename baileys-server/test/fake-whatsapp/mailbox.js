/**
 * What the server holds for one companion device until the device says that it has it.
 *
 * Everything is delivered again after each login, in order, until an ack or a receipt takes it out.
 */

/** @typedef {import('./stanza.js').BinaryNode} BinaryNode */
/** @typedef {import('./connection.js').Connection} Connection */

/**
 * @typedef {object} Entry
 * @property {number} order
 * @property {string} key what an ack or receipt names; several entries can share one
 * @property {BinaryNode} stanza
 * @property {boolean} live never part of the offline backlog (the phone's first sync)
 * @property {Connection | undefined} sentOn
 * @property {(() => void) | undefined} onSent
 */

export const messageKey = (/** @type {string} */ id) => `message ${id}`
export const notificationKey = (/** @type {string} */ id) => `notification ${id}`

/**
 * The parts of a receipt that come back in its ack.
 *
 * @param {Record<string, string | undefined>} attrs
 * @param {string | undefined} sender
 */
export const receiptKey = (attrs, sender) =>
  `receipt ${attrs.id} ${attrs.type ?? ''} ${sender ?? ''} ${attrs.participant ?? ''}`

export class Mailbox {
  constructor() {
    /** @type {Map<number, Entry>} in order of arrival */
    this.entries = new Map()
    /** @type {Map<string, number[]>} */
    this.ordersByKey = new Map()
    this.nextOrder = 1
    /** @type {Connection | undefined} set while the device takes live traffic */
    this.outlet = undefined
  }

  get size() {
    return this.entries.size
  }

  /**
   * @param {string} key
   * @param {BinaryNode} stanza
   * @param {{live?: boolean, onSent?: () => void}} [options]
   */
  put(key, stanza, { live = false, onSent } = {}) {
    const entry = { order: this.nextOrder++, key, stanza, live, sentOn: undefined, onSent }
    this.entries.set(entry.order, entry)
    const orders = this.ordersByKey.get(key)
    if (orders) orders.push(entry.order)
    else this.ordersByKey.set(key, [entry.order])
    if (this.outlet) this.#send(entry, this.outlet)
  }

  /**
   * Takes out the oldest entry of a key.
   *
   * @param {string} key
   * @returns {Entry | undefined}
   */
  take(key) {
    const orders = this.ordersByKey.get(key)
    const order = orders?.shift()
    if (order === undefined) return undefined
    if (!orders?.length) this.ordersByKey.delete(key)
    const entry = this.entries.get(order)
    this.entries.delete(order)
    return entry
  }

  /** @param {string} key */
  takeAll(key) {
    while (this.take(key));
  }

  /**
   * Delivers the backlog the way WhatsApp does: everything that waited, then the count, then live traffic.
   *
   * @param {Connection} connection
   * @param {(count: number) => void} announce says that the backlog is over
   */
  open(connection, announce) {
    const waiting = [...this.entries.values()]
    const offline = waiting.filter(entry => !entry.live)
    for (const entry of offline) this.#send(entry, connection, true)
    announce(offline.length)
    this.outlet = connection
    for (const entry of waiting.filter(each => each.live)) this.#send(entry, connection)
  }

  /**
   * Goes on delivering on a connection that has its backlog behind it.
   *
   * Baileys holds back what is marked offline and comes after the count, until some other message flushes it.
   *
   * @param {Connection} connection
   */
  resume(connection) {
    this.outlet = connection
    for (const entry of this.entries.values()) this.#send(entry, connection)
  }

  /** @param {Connection} connection */
  close(connection) {
    if (this.outlet === connection) this.outlet = undefined
  }

  /**
   * @param {Entry} entry
   * @param {Connection} connection
   * @param {boolean} [offline]
   */
  #send(entry, connection, offline = false) {
    entry.sentOn = connection
    const { stanza } = entry
    connection.send(offline ? { ...stanza, attrs: { ...stanza.attrs, offline: '1' } } : stanza)
    entry.onSent?.()
  }
}
