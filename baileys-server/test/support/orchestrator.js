import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decode, encode } from '@msgpack/msgpack'

/**
 * Test equipment: the orchestrator's half of docs/internal-api.md, in memory, on a real unix socket, with switches to
 * fail, hang and answer nonsense.
 */

export const TOKEN = 'ab'.repeat(32)

const sha256 = text => createHash('sha256').update(text).digest('hex')
const problem = (status, code) => ({ status, body: { type: 'about:blank', title: code, status, code, detail: code } })

/** An answer to a frame. @param {number} kind 0: outcomes, 1: a problem @param {Buffer} answer */
function framed(kind, answer) {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(answer.length + 1)
  head[4] = kind
  return Buffer.concat([head, answer])
}

export class StoredSession {
  creds = null
  account = null
  keys = new Map()
  sentMessages = new Map()
  /** By message key, as docs/internal-api.md has it. */
  incoming = new Map()
  epoch = 1
  generation = 1

  copy() {
    return Object.assign(new StoredSession(), { ...this, keys: new Map(this.keys), sentMessages: new Map(this.sentMessages),
      incoming: new Map(this.incoming) })
  }
}

export class FakeOrchestrator {
  /** @type {{path: string, body: any, at: number}[]} */
  calls = []
  /** @type {any[]} */
  events = []
  hellos = []
  goodbyes = []
  /** Upgraded connections, by which frames come. @type {Set<import('node:net').Socket>} */
  streams = new Set()
  /** @type {Map<number, StoredSession>} */
  sessions = new Map()
  /**
   * Decides about a call before it is handled: undefined handles it, 'hang' never answers, 'drop' closes the
   * connection, 'lose' handles it and closes the connection, 'garbage' answers 200 with nonsense, or an answer. It is asked
   * about each frame (`auth-states/writes`) and about each write in it (`auth-state/write`).
   * @type {(call: string, body: any) => any}
   */
  behave = () => undefined
  /** How many writes each frame had. @type {number[]} */
  frames = []
  /** Milliseconds before each frame is answered. */
  writeDelayMs = 0

  async listen() {
    this.folder = mkdtempSync(join(tmpdir(), 'sidecar-test-'))
    this.socketPath = join(this.folder, 'orchestrator.sock')
    await this.open()
    return this
  }

  /** Also after `shut`: the same socket path, the same memory. */
  async open() {
    this.server = http.createServer((request, response) => this.#handle(request, response))
    this.server.on('upgrade', (request, socket) => {
      if (request.headers.authorization !== `Bearer ${TOKEN}`) return socket.destroy()
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n')
      this.#serveFrames(socket)
    })
    await new Promise(resolve => this.server.listen(this.socketPath, resolve))
  }

  /** As an orchestrator that went away. */
  async shut() {
    const closed = new Promise(resolve => this.server.close(resolve))
    this.server.closeAllConnections()
    for (const stream of this.streams) stream.destroy()
    await closed
  }

  async close() {
    await this.shut()
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** @param {number} ref */
  session(ref) {
    if (!this.sessions.has(ref)) this.sessions.set(ref, new StoredSession())
    return this.sessions.get(ref)
  }

  /** @param {string} type */
  eventsOf(type) {
    return this.events.filter(event => event.type === type).map(event => event.data)
  }

  /** @param {string} ending */
  callsTo(ending) {
    return this.calls.filter(call => call.path.endsWith(ending))
  }

  /** Every private key that this store holds, as it may appear in a log. */
  privateKeys() {
    const found = new Set()
    const collect = value => {
      if (typeof value !== 'object' || value === null) return
      for (const [name, child] of Object.entries(value)) {
        if (/^(private|privKey|rootKey|advSecretKey|key|seed)$/.test(name)) {
          const text = typeof child === 'string' ? child : child?.type === 'Buffer' ? child.data : null
          if (typeof text === 'string' && text.length >= 40) found.add(text)
        }
        collect(child)
      }
    }
    for (const { creds, keys } of this.sessions.values()) {
      if (creds) collect(JSON.parse(creds))
      for (const text of keys.values()) collect(JSON.parse(text))
    }
    return [...found]
  }

  async #handle(request, response) {
    const chunks = []
    for await (const chunk of request) chunks.push(chunk)
    const text = Buffer.concat(chunks).toString()
    const body = text === '' ? undefined : JSON.parse(text)
    const call = request.url.replace(/^\/internal\/v1\//, '').replace(/^sessions\/\d+\//, '')
    this.calls.push({ path: request.url, body, at: Date.now() })
    if (request.headers.authorization !== `Bearer ${TOKEN}`) return reply(response, problem(401, 'unauthorized'))
    const decision = await this.behave(call, body)
    if (decision === 'hang') return
    if (decision === 'drop') return request.socket.destroy()
    if (decision === 'garbage') return reply(response, { status: 200, body: ['nonsense'] })
    if (decision && decision !== 'lose') return reply(response, decision)
    const answer = this.#answer(call, request.url, body)
    if (decision === 'lose') return request.socket.destroy()
    reply(response, answer)
  }

  #serveFrames(stream) {
    let unread = Buffer.alloc(0)
    this.streams.add(stream)
    stream.on('error', () => {})
    stream.on('end', () => stream.destroy())
    stream.on('close', () => this.streams.delete(stream))
    stream.on('data', data => {
      unread = Buffer.concat([unread, data])
      while (unread.length >= 4 && unread.length >= 4 + unread.readUInt32BE()) {
        const end = 4 + unread.readUInt32BE()
        this.#handleFrame(stream, unread.subarray(4, end))
        unread = unread.subarray(end)
      }
    })
  }

  async #handleFrame(stream, frame) {
    const [, writes] = decode(frame)
    this.frames.push(writes.length)
    const bodies = writes.map(bodyOfWrite)
    for (const [n, body] of bodies.entries()) {
      this.calls.push({ path: `/internal/v1/sessions/${writes[n][0]}/auth-state/write`, body, at: Date.now() })
    }
    const decisions = [await this.behave('auth-states/writes', writes)]
    for (const body of bodies) decisions.push(await this.behave('auth-state/write', body))
    if (decisions.includes('hang')) return
    if (decisions.includes('drop')) return stream.destroy()
    if (decisions.includes('garbage')) return stream.write(framed(0, Buffer.from('nonsense')))
    const [refusal, ...ofWrites] = decisions
    if (refusal?.status) return stream.write(framed(1, Buffer.from(JSON.stringify(refusal.body))))
    const outcomes = bodies.map((body, n) => ofWrites[n]?.body ? [ofWrites[n].body.code, ''] : this.#outcome(writes[n][0], body))
    if (decisions.includes('lose')) return stream.destroy()
    if (this.writeDelayMs) await new Promise(resolve => setTimeout(resolve, this.writeDelayMs))
    stream.write(framed(0, Buffer.from(encode(outcomes))))
  }

  /** @param {number} ref @param {any} body */
  #outcome(ref, body) {
    const session = this.session(ref)
    if (body.epoch !== session.epoch || body.generation !== session.generation) return ['lease_lost', '']
    this.#write(session, body)
    return null
  }

  #answer(call, path, body) {
    if (call === 'sidecar/hello') return this.hellos.push(body.instance), ok({})
    if (call === 'sidecar/departing') return ok({})
    if (call === 'sidecar/goodbye') return this.goodbyes.push(body.instance), ok({})
    if (call === 'events') return this.events.push(...body.events), ok({})
    if (call === 'directory') return ok({})
    if (call === 'auth-states/load') return ok({ sessions: body.sessions.map(lease => this.#loaded(...lease)) })
    const session = this.session(Number(/sessions\/(\d+)\//.exec(path)[1]))
    if (call === 'journal/recover') return ok({ epoch: body.epoch === session.epoch ? ++session.epoch : null })
    if (call === 'lease/check') return ok({ held: body.epoch === session.epoch })
    if (body.epoch !== session.epoch || body.generation !== session.generation) return problem(409, 'lease_lost')
    return this.#sessionCall(call, session, body)
  }

  #sessionCall(call, session, body) {
    switch (call) {
      case 'auth-state/prefetch': return ok(prefetched(session))
      case 'auth-state/read': return ok({ values: read(session, body) })
      case 'auth-state/verify': return ok(verify(session, body))
      case 'sent-messages/read': return ok({ message: session.sentMessages.get(body.message_id)?.toString('base64') ?? null })
      default: return problem(404, 'not_found')
    }
  }

  #loaded(ref, generation, epoch) {
    const session = this.session(ref)
    if (epoch !== session.epoch || generation !== session.generation) return { outcome: 'error', code: 'lease_lost', detail: '' }
    return session.creds ? { outcome: 'found', creds: session.creds, account: session.account } : { outcome: 'absent' }
  }

  /** As the orchestrator does, publishes the messages that it didn't have. */
  #write(session, body) {
    for (const [key, text] of body.incoming_messages) {
      const { origin: _kept, ...data } = JSON.parse(text)
      if (!session.incoming.has(key)) this.events.push({ type: 'message.received', data })
      session.incoming.set(key, text)
    }
    write(session, body)
  }
}

/** A write of a frame, as the JSON call has it. */
function bodyOfWrite([, generation, epoch, creds, account, set, deleted, sentMessages, incomingMessages]) {
  const text = bytes => Buffer.from(bytes).toString()
  return {
    generation, epoch, creds: creds && text(creds), account: account && { jid: account[0], lid: account[1] },
    set: set.map(([type, id, bytes]) => [type, id, text(bytes)]), delete: deleted,
    sent_messages: sentMessages.map(([id, bytes]) => [id, Buffer.from(bytes)]),
    incoming_messages: incomingMessages.map(([key, bytes]) => [key, text(bytes)])
  }
}

function prefetched(session) {
  return { keys: [...session.keys].map(([name, text]) => [...JSON.parse(name), text]).filter(([type]) => type !== 'pre-key'), complete: true }
}

function read(session, { key_type: type, key_ids: ids }) {
  const present = ids.filter(id => session.keys.has(JSON.stringify([type, id])))
  return Object.fromEntries(present.map(id => [id, session.keys.get(JSON.stringify([type, id]))]))
}

function write(session, body) {
  if (body.creds !== null) {
    session.creds = body.creds
    session.account = body.account
  }
  for (const [type, id, text] of body.set) session.keys.set(JSON.stringify([type, id]), text)
  for (const [type, id] of body.delete) session.keys.delete(JSON.stringify([type, id]))
  for (const [id, message] of body.sent_messages) session.sentMessages.set(id, message)
}

function verify(session, body) {
  const differs = ([type, id, digest]) => {
    const text = session.keys.get(JSON.stringify([type, id]))
    return (text === undefined ? null : sha256(text)) !== digest
  }
  return { creds: sha256(session.creds ?? '') !== body.creds, keys: body.keys.filter(differs).map(([type, id]) => [type, id]) }
}

const ok = body => ({ status: 200, body })

function reply(response, { status, body }) {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}
