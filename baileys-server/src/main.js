import './silence-console.js'
import { randomUUID } from 'node:crypto'
import process from 'node:process'
import { getHeapStatistics } from 'node:v8'
import { WA_CERT_DETAILS } from '@whiskeysockets/baileys'
import { sleep, systemClock as clock, within } from './clock.js'
import { InvalidConfig, readConfig } from './config.js'
import { Journal } from './auth-state/journal.js'
import { Registry } from './connections/registry.js'
import { currentSession, leaveLastWords, takeLastWords } from './connections/last-words.js'
import { StartSlots } from './connections/start-slots.js'
import { WebVersion } from './connections/web-version.js'
import { createControlApi } from './control-api.js'
import { processFigures } from './process-figures.js'
import { createLog, safeError } from './log.js'
import { Tracer } from './tracing.js'
import { Media } from './messages/media.js'
import { JournalRecovery } from './connections/journal-recovery.js'
import { AddressRules } from './proxy/address-rules.js'
import { OrchestratorClient } from './orchestrator/client.js'
import { CredsLoader } from './orchestrator/creds-loader.js'
import { Departure } from './orchestrator/departure.js'
import { DirectoryOutbox } from './orchestrator/directory-outbox.js'
import { EventOutbox } from './orchestrator/event-outbox.js'
import { SessionBackup } from './orchestrator/session-backup.js'
import { decodeRecord, encodeRecord, encodeRecovery } from './orchestrator/write-frame.js'

const SOCKETS_STARTING_AT_ONCE = 8
const HELLO_RETRY_MS = 500
const PARENT_CHECK_MS = 1000
const EVENTS_DRAIN_MS = 1500
const DIRECTORY_DRAIN_MS = 1000
const GOODBYE_MS = 1500
/** supervisord kills after 15 s; ending by ourselves well before leaves a log line. */
const SHUTDOWN_LIMIT_MS = 9500

const config = configOrExit()
const log = createLog(config.logLevel, [config.internalToken, ...Object.values(config.otlpHeaders)])
const instance = randomUUID()
const shuttingDown = new AbortController()
const tracer = config.otlpEndpoint === null ? null : new Tracer({ endpoint: config.otlpEndpoint, headers: config.otlpHeaders, instance, log })

const client = new OrchestratorClient({
  socketPath: config.orchestratorSocket,
  token: config.internalToken,
  timeoutMs: config.backupTimeoutMs,
  retries: config.backupRetries,
  clock,
  log,
  tracer
})
const journal = config.journalDir === null ? null : journalOrExit(config.journalDir)
const lastWords = config.journalDir === null ? null : takeLastWords(config.journalDir)
if (lastWords) log.error(lastWords, 'predecessor_failed')
let draining = journal !== null && journal.left.length > 0
const outbox = new EventOutbox({ client, instance, clock, log })
const addressRules = new AddressRules(config.outboundAllowedNetworks)
const directory = new DirectoryOutbox({ client, clock, log })
const credsLoader = new CredsLoader(client)
const startSlots = new StartSlots(SOCKETS_STARTING_AT_ONCE)
const webVersion = new WebVersion({ webSocketUrl: config.whatsappWebUrl, clock, log })
const media = new Media(config.mediaDir, log)
const registry = new Registry(session => ({
  credsLoader,
  backup: new SessionBackup(client, session),
  permitsProxyAt: address => addressRules.permits(address),
  noteDirectory: (kind, id, fields) => directory.add(session, kind, id, fields),
  report: (type, data) => outbox.add({ session_ref: session.sessionRef, epoch: session.epoch, type, data }),
  journal,
  startSlots,
  webVersion,
  media,
  clock,
  random: Math.random,
  log,
  options: {
    writeRetries: config.backupRetries,
    socket: { webSocketUrl: config.whatsappWebUrl, keepAliveMs: config.keepAliveMs, qrMs: config.qrMs },
    verification: {
      initialDelayMs: config.backupInitialDelayMs,
      throttleMs: config.backupThrottleMs,
      intervalMs: config.backupIntervalMs
    }
  }
}))
const controlApi = createControlApi({
  registry,
  journal: {
    get draining() { return draining },
    get undrained() { return journal?.undrainedSessions ?? [] },
    get bytes() { return journal?.bytes ?? 0 },
    get limit() { return journal?.limit ?? 0 },
    hold(held) { if (journal) journal.isHeld = held }
  },
  heap() {
    const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics()
    return { used, limit }
  },
  processFigures: processFigures(),
  instance,
  lastWords,
  token: config.internalToken,
  log,
  tracer
})

trustOtherServer()
watchForFailures()
watchParent()
// For good: without a listener, a second signal would kill the process in the middle of its last writes.
process.on('SIGTERM', () => shutDown('SIGTERM'))
process.on('SIGINT', () => shutDown('SIGINT'))
controlApi.on('error', error => {
  log.fatal(safeError(error), 'control_api_failed')
  process.exit(1)
})
controlApi.listen(config.sidecarPort, '127.0.0.1', () => {
  const address = /** @type {import('node:net').AddressInfo} */ (controlApi.address())
  log.info({ instance, port: address.port }, 'sidecar_listening')
  begin()
})

/** Says hello once more when there is no journal of an earlier process any more: only then sessions may start. */
async function begin() {
  await sayHello()
  if (!journal || !draining) return
  const backupOf = (/** @type {import('./auth-state/journal.js').Lease} */ lease) => new SessionBackup(client, lease)
  await new JournalRecovery({ journal, backupOf, clock, log, signal: shuttingDown.signal }).run()
  draining = false
  await sayHello()
}

/** Without an orchestrator there is nothing to do, so this goes on until it answers. */
async function sayHello() {
  while (!shuttingDown.signal.aborted) {
    try {
      await client.call('/internal/v1/sidecar/hello', { instance }, { retries: 0 })
      return log.info({ instance }, 'orchestrator_greeted')
    } catch (error) {
      log.debug(safeError(error), 'orchestrator_not_there_yet')
      await sleep(clock, HELLO_RETRY_MS, shuttingDown.signal)
    }
  }
}

/** @param {string} cause */
async function shutDown(cause) {
  if (shuttingDown.signal.aborted) return
  shuttingDown.abort()
  log.info({ cause, sessions: registry.size }, 'sidecar_stopping')
  setTimeout(() => {
    log.error({}, 'sidecar_stopped_late')
    process.exit(1)
  }, SHUTDOWN_LIMIT_MS).unref()
  const departure = new Departure({ client, instance, log, delivered: () => outbox.delivered() })
  departure.begin()
  await registry.shutDown(sessionRef => {
    if (!journal?.undrainedSessions.includes(sessionRef)) departure.closed(sessionRef)
  })
  await within(clock, GOODBYE_MS, departure.told())
  await Promise.all([outbox.close(EVENTS_DRAIN_MS), directory.close(DIRECTORY_DRAIN_MS)])
  await sayGoodbye()
  journal?.close()
  controlApi.close()
  client.close()
  await tracer?.close()
  log.info({}, 'sidecar_stopped')
  log.flush(() => process.exit(0))
}

/** Tells that all sockets are closed, and whose writes are done, so that their leases can be released at once. */
async function sayGoodbye() {
  try {
    const undrained = journal?.undrainedSessions ?? []
    const call = client.call('/internal/v1/sidecar/goodbye', { instance, undrained }, { retries: 0 })
    if (!(await within(clock, GOODBYE_MS, call))) log.warn({}, 'goodbye_not_answered')
  } catch (error) {
    log.warn(safeError(error), 'goodbye_not_heard')
  }
}

/** Supervised processes must not outlive their supervisor: a socket without a lease would fight its successor. */
function watchParent() {
  const parent = process.ppid
  setInterval(() => {
    if (process.ppid !== parent) shutDown('the parent process is gone')
  }, PARENT_CHECK_MS).unref()
}

function watchForFailures() {
  // A rejection that Baileys forgot to handle concerns one socket; the other sessions go on.
  process.on('unhandledRejection', error => log.error(safeError(error), 'unhandled_rejection'))
  process.on('uncaughtException', error => {
    const { error: reason } = safeError(error)
    if (config.journalDir !== null) leaveLastWords(config.journalDir, reason ?? 'An exception without a message.')
    log.fatal({ session_ref: currentSession.getStore(), ...safeError(error), stack: String(error?.stack).split('\n').slice(1, 6).map(line => line.trim()) }, 'uncaught_exception')
    process.exit(1)
  })
}

/** Baileys has no option for the certificate's root, but reads this object at each handshake. */
function trustOtherServer() {
  if (config.whatsappRootKey) WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(config.whatsappRootKey)
  if (!config.whatsappWebUrlIsDefault) {
    log.warn({ url: config.whatsappWebUrl }, 'whatsapp_url_is_not_the_default')
  }
}

/** @param {string} folder */
function journalOrExit(folder) {
  const format = { encode: encodeRecord, encodeRecovery, decode: decodeRecord }
  try {
    return new Journal({ folder, limit: config.journalMaxBytes, keys: config.journalKeys, format, clock, log })
  } catch (error) {
    process.stderr.write(`The journal in ${folder} can't be used: ${/** @type {Error} */ (error).message}\n`)
    process.exit(1)
  }
}

function configOrExit() {
  try {
    return readConfig(process.env)
  } catch (error) {
    if (!(error instanceof InvalidConfig)) throw error
    process.stderr.write(`${error.message}\n`)
    process.exit(2)
  }
}
