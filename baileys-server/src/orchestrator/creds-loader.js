import { errorFromAnswer, malformedAnswer } from './errors.js'

/**
 * @typedef {{jid: string, lid: string | null}} Account
 * @typedef {{outcome: 'found', creds: string, account: Account} | {outcome: 'absent'}} Loaded
 * @typedef {{sessionRef: number, generation: number, epoch: number}} Lease
 * @typedef {{lease: Lease, resolve: (loaded: Loaded) => void, reject: (error: unknown) => void}} Asking
 */

/** The orchestrator refuses more in one call. */
const SESSIONS_PER_CALL = 1000

/**
 * The creds of all sessions that start, in as few calls as possible: everybody who asks while a call is under way is
 * part of the next one.
 */
export class CredsLoader {
  /** @type {Asking[]} */
  #asking = []
  #running = false
  #client

  /** @param {import('./client.js').OrchestratorClient} client */
  constructor(client) {
    this.#client = client
  }

  /**
   * @param {Lease} lease
   * @returns {Promise<Loaded>} only `absent` proves that this generation never paired; everything else throws
   */
  load(lease) {
    return new Promise((resolve, reject) => {
      this.#asking.push({ lease, resolve, reject })
      if (!this.#running) this.#run()
    })
  }

  async #run() {
    this.#running = true
    // One turn of the event loop, so that sessions that start in the same moment are in one call.
    await new Promise(resolve => setImmediate(resolve))
    while (this.#asking.length > 0) await this.#loadTogether(this.#asking.splice(0, SESSIONS_PER_CALL))
    this.#running = false
  }

  /** @param {Asking[]} asking */
  async #loadTogether(asking) {
    try {
      const sessions = asking.map(({ lease }) => [lease.sessionRef, lease.generation, lease.epoch])
      const answer = await this.#client.call('/internal/v1/auth-states/load', { sessions })
      if (!Array.isArray(answer.sessions) || answer.sessions.length !== asking.length) {
        throw malformedAnswer('The answer to load is not one outcome for each session.')
      }
      for (const [index, { resolve, reject }] of asking.entries()) settle(answer.sessions[index], resolve, reject)
    } catch (error) {
      for (const { reject } of asking) reject(error)
    }
  }
}

/** @param {any} session @param {Asking['resolve']} resolve @param {Asking['reject']} reject */
function settle(session, resolve, reject) {
  const { outcome, creds, account, code } = session ?? {}
  if (outcome === 'absent') resolve({ outcome: 'absent' })
  else if (outcome === 'found' && typeof creds === 'string' && creds !== '' && typeof account?.jid === 'string') {
    resolve({ outcome: 'found', creds, account: { jid: account.jid, lid: account.lid ?? null } })
  } else if (outcome === 'error') reject(errorFromAnswer(500, { code }))
  else reject(malformedAnswer('The answer to load is neither found nor absent.'))
}
