/** Contacts that write by themselves: so many messages, at such a rate, in turn. */
import { ControlError } from './control-error.js'
import { sendFromContact } from './to-companion.js'

/** @typedef {import('./user.js').User} User */
/** @typedef {import('./world.js').World} World */

const TICK_MS = 20

/**
 * @typedef {object} Flow
 * @property {number} id
 * @property {string} phone
 * @property {number} count how many in all
 * @property {number} sent
 * @property {number} rate_per_second
 * @property {boolean} running
 */

export class Traffic {
  /** @param {World} world */
  constructor(world) {
    this.world = world
    /** @type {Map<number, Flow & {timer: NodeJS.Timeout}>} */
    this.flows = new Map()
    this.nextId = 1
  }

  /**
   * @param {{to: User, contacts: User[], groups: string[], ratePerSecond: number, count: number, prefix: string}} order
   * @returns {Flow}
   */
  start({ to, contacts, groups, ratePerSecond, count, prefix }) {
    const lines = this.#lines(to, contacts, groups)
    if (!lines.length) throw new ControlError(400, 'no_senders', 'no contact can write to this account')
    const startedAt = Date.now()
    const flow = { id: this.nextId++, phone: to.phone, count, sent: 0, rate_per_second: ratePerSecond, running: true }
    const timer = setInterval(() => {
      const due = Math.min(count, Math.floor(((Date.now() - startedAt) / 1000) * ratePerSecond) + 1)
      for (; flow.sent < due; flow.sent++) {
        sendFromContact(this.world, { ...lines[flow.sent % lines.length], text: `${prefix} ${flow.sent + 1}` })
      }
      if (flow.sent >= count) this.#stop(flow.id)
    }, TICK_MS)
    this.flows.set(flow.id, Object.assign(flow, { timer }))
    return this.#shown(flow)
  }

  /** @param {string} [phone] */
  list(phone) {
    return [...this.flows.values()].filter(flow => !phone || flow.phone === phone).map(flow => this.#shown(flow))
  }

  /** @param {string} [phone] */
  remaining(phone) {
    const running = [...this.flows.values()].filter(flow => flow.running && (!phone || flow.phone === phone))
    return running.reduce((sum, flow) => sum + flow.count - flow.sent, 0)
  }

  stopAll() {
    for (const id of this.flows.keys()) this.#stop(id)
  }

  /**
   * Every chat of the traffic: each contact directly, and each group through the contacts in it.
   *
   * @param {User} to
   * @param {User[]} contacts
   * @param {string[]} groups
   */
  #lines(to, contacts, groups) {
    /** @type {Array<{from: User, to?: User, group?: string}>} */
    const direct = contacts.map(from => ({ from, to }))
    const inGroups = groups.flatMap(group => {
      const { members } = this.world.registry.group(group)
      return contacts.filter(from => members.has(from)).map(from => ({ from, group }))
    })
    return [...direct, ...inGroups]
  }

  /** @param {number} id */
  #stop(id) {
    const flow = this.flows.get(id)
    if (!flow?.running) return
    clearInterval(flow.timer)
    flow.running = false
    this.world.ledger.changes.emit('change')
  }

  /** @param {Flow} flow */
  #shown({ id, phone, count, sent, rate_per_second, running }) {
    return { id, phone, count, sent, rate_per_second, running }
  }
}
