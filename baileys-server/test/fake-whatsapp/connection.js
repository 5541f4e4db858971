/** One websocket of a client: handshake, then binary nodes in order. */
import { decodeBinaryNode, encodeBinaryNode } from '@whiskeysockets/baileys'
import { admit } from './login.js'
import { route } from './routes.js'

/** @typedef {import('./noise-responder.js').NoiseResponder} NoiseResponder */
/** @typedef {import('./stanza.js').BinaryNode} BinaryNode */
/** @typedef {import('./world.js').World} World */
/** @typedef {import('./device.js').Device} Device */

/** Time for the last frame to be read before the TCP connection goes. */
const FAREWELL_MS = 50

export class Connection {
  /**
   * @param {World} world
   * @param {import('ws').WebSocket} socket
   * @param {NoiseResponder} noise
   */
  constructor(world, socket, noise) {
    this.world = world
    this.socket = socket
    this.noise = noise
    /** @type {'hello' | 'finish' | 'registering' | 'logged_in' | 'refused'} */
    this.stage = 'hello'
    /** @type {Device | undefined} */
    this.device = undefined
    /** @type {import('./pairing.js').Registration | undefined} */
    this.registration = undefined
    this.silent = false
    this.deaf = false
    this.evicted = false
    /** @type {Array<() => void>} */
    this.onClosed = []
    this.work = Promise.resolve()
    socket.on('message', (/** @type {Buffer} */ data) => this.#enqueue(data))
    socket.on('close', () => this.#closed())
    socket.on('error', () => this.#closed())
    world.connections.add(this)
  }

  get isOpen() {
    return this.socket.readyState === this.socket.OPEN
  }

  /** @param {BinaryNode} stanza */
  send(stanza) {
    if (!this.isOpen || this.silent) return
    this.socket.send(this.noise.seal(encodeBinaryNode(stanza)))
  }

  /**
   * Says a last word and closes.
   *
   * @param {BinaryNode} stanza
   */
  sendAndClose(stanza) {
    this.send(stanza)
    this.world.later(FAREWELL_MS, () => this.socket.close())
  }

  /** Ends silence and deafness; what waited meanwhile is delivered. */
  recover() {
    if (!this.silent && !this.deaf) return
    this.silent = this.deaf = false
    this.device?.mailbox.resume(this)
  }

  /**
   * Whether the other side gets what it is sent, and lives: a frozen process or a cut network answers no ping.
   * @returns {{answeredAt: number}} milliseconds since 1970 UTC; 0 until it has answered
   */
  probe() {
    const probe = { answeredAt: 0 }
    this.socket.once('pong', () => { probe.answeredAt = Date.now() })
    if (this.isOpen) this.socket.ping()
    return probe
  }

  /** Cuts the TCP connection. */
  drop() {
    this.socket.terminate()
  }

  /** @param {Buffer} data */
  #enqueue(data) {
    this.work = this.work.then(() => this.#read(data)).catch(error => this.#hangUp(error))
  }

  /** @param {Buffer} data */
  async #read(data) {
    for (const frame of this.noise.frames(data)) {
      if (this.stage === 'hello') this.#hello(frame)
      else if (this.stage === 'finish') await this.#finish(frame)
      else await this.#receive(frame)
    }
  }

  /** @param {Buffer} frame */
  #hello(frame) {
    this.socket.send(this.noise.answerHello(frame))
    this.stage = 'finish'
  }

  /** @param {Buffer} frame */
  async #finish(frame) {
    const { clientKey, payload } = this.noise.readFinish(frame)
    await this.world.sleep(this.world.options.handshakePauseMs)
    if (this.isOpen) admit(this.world, this, clientKey, payload)
  }

  /** @param {Buffer} frame */
  async #receive(frame) {
    const stanza = await decodeBinaryNode(frame)
    if (this.silent || this.evicted || this.stage === 'refused') return
    await route(this.world, this, stanza).catch(error => this.world.fault(error))
  }

  /**
   * Ends a connection whose bytes make no sense.
   *
   * @param {unknown} error
   */
  #hangUp(error) {
    if (!this.isOpen) return
    const detail = { stage: this.stage, device: this.device?.jid, error: String(error) }
    this.world.violations.count('handshake_frames_bad', detail)
    this.drop()
  }

  #closed() {
    if (!this.world.connections.delete(this)) return
    this.device?.mailbox.close(this)
    if (this.device?.connection === this) {
      this.device.connection = undefined
      this.device.offlineSince = Date.now()
    }
    for (const listener of this.onClosed) listener()
  }
}
