/**
 * Test equipment: a backup API without the network. Each write waits until the test lets it through, unless `open`.
 */
export class MemoryStore {
  creds = null
  keys = new Map()
  sentMessages = new Map()
  incoming = new Map()
  /** @type {any[]} every write that arrived */
  writes = []
  reads = []
  /** @type {{body: any, succeed: () => void, fail: (error: Error) => void}[]} */
  waiting = []
  open = true
  /** @type {Error | null} */
  readError = null

  #dead = false

  /** Nothing that isn't in the store by now will ever be. */
  kill() {
    this.#dead = true
    for (const write of this.waiting.splice(0)) write.fail(failure('killed'))
  }

  async write({ take }) {
    await new Promise(resolve => setImmediate(resolve))
    const body = take()
    if (!body) return
    this.writes.push(body)
    if (this.#dead) throw failure('killed')
    if (!this.open) {
      await new Promise((resolve, reject) => this.waiting.push({ body, succeed: () => resolve(undefined), fail: reject }))
    }
    this.apply(body)
  }

  async read(type, ids) {
    this.reads.push([type, ids])
    const answer = new Map(ids.filter(id => this.keys.has(`${type} ${id}`)).map(id => [id, this.keys.get(`${type} ${id}`)]))
    for (let turn = 0; turn < 3; turn++) await new Promise(resolve => setImmediate(resolve))
    if (this.readError) throw this.readError
    return answer
  }

  apply(body) {
    if (body.creds) this.creds = body.creds
    for (const [type, id, text] of body.set) this.keys.set(`${type} ${id}`, text)
    for (const [type, id] of body.delete) this.keys.delete(`${type} ${id}`)
    for (const [id, message] of body.sent_messages) this.sentMessages.set(id, message)
    for (const [key, text] of body.incoming_messages ?? []) this.incoming.set(key, text)
  }

  async prefetch() {
    return { keys: this.loaded.filter(([type]) => type !== 'pre-key'), complete: true }
  }

  /** Every key that is stored. */
  get loaded() {
    return [...this.keys].map(([name, text]) => {
      const space = name.indexOf(' ')
      return [name.slice(0, space), name.slice(space + 1), text]
    })
  }
}

/** An error as the orchestrator's client throws it. */
export const failure = code => Object.assign(new Error(code), { code })
