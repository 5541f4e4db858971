/** The HTTP API that tests, `make demo` and people use to drive the fake. JSON in, JSON out; described in README.md. */
import { proto } from '@whiskeysockets/baileys'
import { PATIENCE } from '../support/until.js'
import { changeAppState } from './app-state.js'
import { ring } from './calls.js'
import { followFromPhone, postFromPhone } from './channels.js'
import { ControlError } from './control-error.js'
import { changeFromPhone } from './group-changes.js'
import { kick } from './kick.js'
import { applyLastingFailures } from './login.js'
import { notifyPreKeysLow } from './key-queries.js'
import { refreshQr, scan } from './pairing.js'
import { enterCode } from './pairing-code.js'
import { showPresence } from './presence.js'
import { digits } from './registry.js'
import { sendFromContact, voteContent } from './to-companion.js'

/** @typedef {import('node:http').IncomingMessage} IncomingMessage */
/** @typedef {import('node:http').ServerResponse} ServerResponse */
/** @typedef {import('./traffic.js').Traffic} Traffic */
/** @typedef {import('./user.js').User} User */
/** @typedef {import('./world.js').World} World */
/** @typedef {Record<string, any>} Body */

const IDLE_TIMEOUT_MS = 10_000 * PATIENCE
/** Outdated peers are noticed by looking, not by a timer of their own. */
const IDLE_RECHECK_MS = 250

export class ControlApi {
  /**
   * @param {World} world
   * @param {Traffic} traffic
   */
  constructor(world, traffic) {
    this.world = world
    this.traffic = traffic
    /** @type {Record<string, (body: Body, query: URLSearchParams) => unknown>} */
    this.routes = {
      'POST /scan': body => scan(world, body.qr, this.#account(body.phone)),
      'POST /enter-code': body => enterCode(world, String(body.code ?? ''), this.#account(body.phone)),
      'POST /refresh-qr': body => refreshQr(world, body.qr, body.tag ?? 'companion_reg_refresh'),
      'POST /contacts': body => this.#createContact(body),
      'POST /groups': body => this.#createGroup(body),
      'POST /send': body => this.#send(body),
      'POST /media': body => this.#breakMedia(body),
      'POST /presence': ({ from, to, state, group }) => showPresence(world, { from: world.registry.find(from), to: world.registry.find(to), state, group }),
      'POST /call': ({ from, to, video = false }) => ring(world, { from: world.registry.find(from), to: world.registry.find(to), video }),
      'POST /app-state': ({ phone, ...order }) => changeAppState(world, world.registry.find(phone), /** @type {any} */ (order)),
      'POST /join-request': body => this.#askToJoin(body),
      'POST /group-change': body => this.#changeGroup(body),
      'POST /channels': ({ from, name, description = '' }) => ({ id: world.registry.createChannel(world.registry.find(from), name, description).id }),
      'POST /follow': ({ from, channel }) => followFromPhone(world, world.registry.find(from), channel),
      'GET /seen': (_body, query) => ({ seen: world.seen.list({ kind: query.get('kind') ?? undefined, phone: query.get('phone') ?? undefined }) }),
      'POST /traffic': body => this.#startTraffic(body),
      'GET /traffic': (_body, query) => ({ traffic: traffic.list(query.get('phone') ?? undefined) }),
      'DELETE /traffic': () => traffic.stopAll(),
      'POST /failures': body => this.#addFailure(body),
      'GET /failures': () => ({ failures: world.failures.active }),
      'DELETE /failures': (_body, query) => this.#clearFailures(query),
      'POST /kick': body => ({ sockets: kick(world, this.#accounts(body.phone), body) }),
      'POST /client-revision': body => this.#setClientRevision(body),
      'POST /prekeys-low': body => this.#preKeysLow(body),
      'GET /accounts': () => ({ accounts: world.registry.accounts.map(account => this.#describe(account)) }),
      'GET /messages': (_body, query) => this.#messages(query),
      'GET /counts': () => this.#counts(),
      'GET /violations': () => ({ violations: world.violations.details }),
      'GET /gaps': () => ({ gaps: world.gaps }),
      'POST /reset-counts': () => this.#reset(),
      'GET /idle': (_body, query) => this.#idle(query),
    }
  }

  /**
   * @param {IncomingMessage} request
   * @param {ServerResponse} response
   */
  async handle(request, response) {
    try {
      const url = new URL(request.url ?? '/', 'http://fake')
      const handler = this.routes[`${request.method} ${url.pathname}`]
      if (!handler) throw new ControlError(404, 'unknown_route', `${request.method} ${url.pathname}`)
      const answer = await handler(await readBody(request), url.searchParams)
      reply(response, 200, answer ?? {})
    } catch (error) {
      const known = error instanceof ControlError
      const detail = error instanceof Error ? error.message : String(error)
      if (!known) process.stderr.write(`fake-whatsapp: ${error instanceof Error ? error.stack : error}\n`)
      reply(response, known ? error.status : 500, { code: known ? error.code : 'fault', detail })
    }
  }

  /** @param {unknown} phone */
  #account(phone) {
    const number = digits(String(phone ?? ''))
    if (!number) throw new ControlError(400, 'no_phone', 'phone is missing')
    return this.world.registry.user(number)
  }

  /** @param {unknown} phone absent for all accounts */
  #accounts(phone) {
    const { registry } = this.world
    return phone ? [registry.find(String(phone))] : registry.accounts
  }

  /** @param {Body} body */
  #createContact({ phone, name, addressing, also, about, picture, hides_picture: hides, refuses_groups: refuses }) {
    const user = phone ? this.#account(phone) : this.world.registry.newContact()
    if (also) this.world.registry.byPhone.set(digits(String(also)), user)
    if (name) user.name = String(name)
    if (addressing) user.writesAsLid = addressing === 'lid'
    if (about) user.about = { text: String(about), at: '1790000000' }
    if (picture) user.picture = { id: this.world.stanzaId(), size: 1 }
    user.hidesPicture = Boolean(hides)
    user.refusesGroups = Boolean(refuses)
    return { phone: user.phone, jid: user.pn, lid: user.lid }
  }

  /** @param {Body} body */
  #createGroup({ subject = 'Group', members = [], addressing = 'lid' }) {
    const users = members.map((/** @type {string} */ member) => this.world.registry.find(member))
    return { jid: this.world.registry.createGroup(subject, users, addressing) }
  }

  /** Somebody opens a group's invite link. @param {Body} body */
  #askToJoin({ from, group: jid }) {
    const group = this.world.registry.group(jid)
    group.requests.set(this.world.registry.find(from), '1790000000')
  }

  /** A member changes a group on its phone. @param {Body} body */
  #changeGroup({ from, group, change, participants = [], text, attrs }) {
    const { registry } = this.world
    const users = participants.map((/** @type {string} */ each) => registry.find(each))
    changeFromPhone(this.world, registry.find(from), registry.group(group), { change, participants: users, text, attrs })
  }

  /** @param {Body} body */
  async #send({ from, to, text, group, channel, status, content, media, vote }) {
    const { registry } = this.world
    if (!content && !vote && (typeof text !== 'string' || !text)) throw new ControlError(400, 'no_text', 'text is missing')
    if (channel) return { id: postFromPhone(this.world, registry.find(from), channel, { conversation: text }) }
    if (!group && !to) throw new ControlError(400, 'no_recipient', 'to, group or channel is missing')
    const order = { from: registry.find(from), to: to ? registry.find(to) : undefined, group, status, text: text ?? '' }
    if (vote) return { id: sendFromContact(this.world, { ...order, content: voteContent(this.world, order, vote) }) }
    if (!content) return { id: sendFromContact(this.world, order) }
    for (const [field, file] of Object.entries(media ?? {})) {
      Object.assign(content[field], await this.world.media.put(field, Buffer.from(file, 'base64')))
    }
    return { id: sendFromContact(this.world, { ...order, content: proto.Message.fromObject(content) }) }
  }

  /** @param {Body} body */
  #breakMedia({ status, forget = false }) {
    this.world.media.failWith = status ?? undefined
    if (forget) this.world.media.files.clear()
    return {}
  }

  /** @param {Body} body */
  #startTraffic({ phone, contacts = [], groups = [], rate_per_second = 10, count = 100, prefix = 'traffic' }) {
    const { registry } = this.world
    const users = contacts.map((/** @type {string} */ contact) => registry.find(contact))
    const order = { to: registry.find(phone), contacts: users, groups, ratePerSecond: rate_per_second, count, prefix }
    return this.traffic.start(order)
  }

  /** @param {Body} body */
  #addFailure(body) {
    const phone = body.phone ? digits(String(body.phone)) : null
    const failure = this.world.failures.add(/** @type {any} */ ({ ...body, phone }))
    // A failure that lasts as long as a connection also meets the ones that are open.
    for (const connection of this.world.connections) {
      const { device } = connection
      if (device && !connection.evicted) applyLastingFailures(this.world, connection, device)
    }
    return failure
  }

  /** @param {URLSearchParams} query */
  #clearFailures(query) {
    const phone = query.get('phone') ?? undefined
    const cleared = this.world.failures.clear({ id: Number(query.get('id')) || undefined, phone })
    for (const connection of this.world.connections) {
      if (!phone || connection.device?.user.phone === phone) connection.recover()
    }
    return { cleared }
  }

  /** @param {any} body */
  #setClientRevision({ revision }) {
    if (!Number.isSafeInteger(revision) || revision < 0) throw new ControlError(400, 'bad_request', 'revision must be a whole number.')
    this.world.clientRevision = revision
    return {}
  }

  /** @param {Body} body */
  #preKeysLow({ phone, count = 0 }) {
    const devices = [...this.world.registry.find(phone).companions.values()]
    for (const device of devices) notifyPreKeysLow(this.world, device, count)
    return { devices: devices.length }
  }

  /** @param {User} account */
  #describe(account) {
    const devices = [...account.companions.values()].map(device => ({
      device: device.id,
      name: device.name,
      jid: device.jid,
      lid: device.lidJid,
      connected: Boolean(device.connection),
      logins: device.logins,
      evictions: device.evictions,
      mailbox: device.mailbox.size,
      prekeys: device.preKeys.size,
      prekeys_handed_out: device.handedOut.size,
    }))
    return { phone: account.phone, jid: account.pn, lid: account.lid, devices }
  }

  /** @param {URLSearchParams} query */
  #messages(query) {
    const text = (/** @type {string} */ name) => query.get(name) ?? undefined
    const messages = this.world.ledger.list({
      direction: text('direction'),
      since: Number(text('since') ?? 0),
      phone: text('phone'),
      status: text('status'),
      ownPhone: text('own_phone') === 'true',
      content: text('content') === 'true',
    })
    return { seq: this.world.ledger.seq, messages }
  }

  #counts() {
    const { violations, ledger } = this.world
    const totals = ledger.totals()
    const { counts, longestOverlapMs } = violations
    return { ...counts, undecryptable: totals.out.undecryptable, longest_overlap_ms: longestOverlapMs, ...totals }
  }

  #reset() {
    this.world.violations.reset()
    this.world.ledger.reset()
    this.world.gaps = []
  }

  /** @param {URLSearchParams} query */
  async #idle(query) {
    const phone = query.get('phone') ?? undefined
    const deadline = Date.now() + Number(query.get('timeout_ms') ?? IDLE_TIMEOUT_MS)
    for (;;) {
      const outstanding = { ...this.world.ledger.outstandingCounts(phone), traffic: this.traffic.remaining(phone) }
      const idle = !outstanding.in && !outstanding.out && !outstanding.traffic
      const leftMs = deadline - Date.now()
      if (idle || leftMs <= 0) return { idle, outstanding }
      await this.#nextChange(Math.min(leftMs, IDLE_RECHECK_MS))
    }
  }

  /** @param {number} timeoutMs */
  #nextChange(timeoutMs) {
    return new Promise(resolve => {
      const { changes } = this.world.ledger
      const timer = setTimeout(done, timeoutMs)
      function done() {
        clearTimeout(timer)
        changes.off('change', done)
        resolve(undefined)
      }
      changes.once('change', done)
    })
  }
}

/**
 * @param {IncomingMessage} request
 * @returns {Promise<Body>}
 */
async function readBody(request) {
  const chunks = []
  for await (const chunk of request) chunks.push(chunk)
  const text = Buffer.concat(chunks).toString()
  if (!text) return {}
  try {
    return JSON.parse(text)
  } catch {
    throw new ControlError(400, 'bad_json', 'the body is not JSON')
  }
}

/**
 * @param {ServerResponse} response
 * @param {number} status
 * @param {unknown} body
 */
function reply(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}
