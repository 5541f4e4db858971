import { randomBytes } from 'node:crypto'
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { AuthState } from '../../../src/auth-state/auth-state.js'
import { encode } from '../../../src/auth-state/codec.js'
import { Journal } from '../../../src/auth-state/journal.js'
import { systemClock as clock } from '../../../src/clock.js'
import { createLog } from '../../../src/log.js'
import { OrchestratorClient } from '../../../src/orchestrator/client.js'
import { CredsLoader } from '../../../src/orchestrator/creds-loader.js'
import { SessionBackup } from '../../../src/orchestrator/session-backup.js'
import { decodeRecord, encodeRecord, encodeRecovery } from '../../../src/orchestrator/write-frame.js'
import { until } from '../../support/until.js'
import { Polls } from '../../../src/messages/polls.js'

/** As config.js has them. */
const TIMEOUT_MS = 10_000
const RETRIES = 3
const JOURNAL_BYTES = 256 * 1024 * 1024
const DRAIN_MS = 60_000

/**
 * Our own store, put together as main.js and connection.js do it, only without sockets to WhatsApp: the sidecar's own
 * modules against a running orchestrator that holds the leases of all sessions under epoch 1.
 *
 * @param {{socket: string, token: string, journal: string | null}} service `journal`: the folder to make one in
 * @param {import('../workload.js').Workload} workload
 */
export async function openStore({ socket, token, journal: folder }, workload) {
  const log = createLog('error')
  const client = new OrchestratorClient({ socketPath: socket, token, timeoutMs: TIMEOUT_MS, retries: RETRIES, clock, log })
  const credsLoader = new CredsLoader(client)
  const journal = folder && newJournal(folder, log)
  /** @type {AuthState[]} */
  const authStates = []
  const paired = { creds: encode(workload.creds), account: { jid: workload.creds.me.id, lid: workload.creds.me.lid } }

  /** @param {number} sessionRef @param {{creds: string, account: any}} found */
  function authStateOf(sessionRef, found) {
    const lease = { sessionRef, generation: 1, epoch: 1 }
    const authState = AuthState.restored(found, {
      store: new SessionBackup(client, lease),
      journal: journal && journal.part(lease, () => {}),
      writeRetries: RETRIES,
      clock,
      onClosed: error => { throw error },
      onLost: error => { throw error },
      onDegraded: () => {},
      messageIn: () => null, polls: new Polls()
    })
    authStates.push(authState)
    return authState
  }

  return {
    session: async number => sessionOf(authStateOf(number, paired)),
    async started(number) {
      const authState = authStateOf(number, paired)
      await authState.wake()
      return sessionOf(authState)
    },
    restore: numbers => Promise.all(numbers.map(async sessionRef => {
      const found = await credsLoader.load({ sessionRef, generation: 1, epoch: 1 })
      return authStateOf(sessionRef, found).creds
    })),
    async close() {
      await until('all writes in the store', () => authStates.every(({ degraded }) => !degraded), DRAIN_MS)
      await Promise.all(authStates.map(authState => authState.durable()))
      client.close()
      journal?.close()
    }
  }
}

/** @param {string} folder @param {import('../../../src/log.js').Logger} log */
function newJournal(folder, log) {
  return new Journal({
    folder: mkdtempSync(join(folder, 'journal-')),
    limit: JOURNAL_BYTES,
    keys: [randomBytes(32)],
    format: { encode: encodeRecord, encodeRecovery, decode: decodeRecord },
    clock,
    log
  })
}

/** @param {AuthState} authState */
function sessionOf(authState) {
  const { keys } = authState.forBaileys
  let counter = 0
  return {
    set: keys.set.bind(keys),
    get: keys.get.bind(keys),
    async saveCreds() {
      authState.updateCreds({ accountSyncCounter: ++counter })
      await authState.credsDurable()
    }
  }
}
