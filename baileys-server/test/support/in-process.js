import '../fake-whatsapp/unref-timers.js'
import '../../src/silence-console.js'
import { WA_CERT_DETAILS } from '@whiskeysockets/baileys'
import { systemClock } from '../../src/clock.js'
import { Registry } from '../../src/connections/registry.js'
import { StartSlots } from '../../src/connections/start-slots.js'
import { WebVersion } from '../../src/connections/web-version.js'
import { Media } from '../../src/messages/media.js'
import { OrchestratorClient } from '../../src/orchestrator/client.js'
import { CredsLoader } from '../../src/orchestrator/creds-loader.js'
import { SessionBackup } from '../../src/orchestrator/session-backup.js'
import { FakeOrchestrator, TOKEN } from './orchestrator.js'
import { PATIENCE, until } from './until.js'
import { startWhatsApp } from './whatsapp.js'

/**
 * Test equipment: what main.js puts together, in this process, with one start slot, no journal and no retries: real
 * Baileys between the fake WhatsApp and the fake orchestrator.
 */

const nothing = () => {}
export const silentLog = { debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => silentLog }

export const PHONE = '5511999990000'
export const SESSION = { sessionRef: 17, sessionId: 'loja', generation: 1, epoch: 1 }

export class InProcess {
  /** @type {any[]} every event, its type beside its data */
  reports = []
  /** @type {any[]} what was learned of contacts, chats and labels */
  directory = []
  slots = new StartSlots(1)

  /** @param {{whatsapp?: object, socket?: object, clock?: import('../../src/clock.js').Clock}} [options] of the fake server and of sockets */
  static async start({ whatsapp, socket, clock = systemClock } = {}) {
    const sidecar = new InProcess()
    sidecar.orchestrator = await new FakeOrchestrator().listen()
    sidecar.whatsapp = await startWhatsApp(whatsapp)
    WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(sidecar.whatsapp.rootKey, 'hex')
    sidecar.client = new OrchestratorClient({
      socketPath: sidecar.orchestrator.socketPath, token: TOKEN, timeoutMs: 1000 * PATIENCE, retries: 0, clock: systemClock, log: silentLog
    })
    const credsLoader = new CredsLoader(sidecar.client)
    const webVersion = new WebVersion({ webSocketUrl: sidecar.whatsapp.wsUrl, clock: systemClock, log: silentLog })
    sidecar.registry = new Registry(session => ({
      credsLoader,
      backup: new SessionBackup(sidecar.client, session),
      report: (type, data) => sidecar.reports.push({ type, ...data }),
      permitsProxyAt: () => true,
      noteDirectory: (kind, id, fields) => sidecar.directory.push([kind, id, fields]),
      journal: null, startSlots: sidecar.slots, webVersion, media: new Media(null, silentLog), clock, random: () => 0.05, log: silentLog,
      options: {
        writeRetries: 0,
        socket: { webSocketUrl: sidecar.whatsapp.wsUrl, keepAliveMs: 30_000, ...socket },
        verification: { initialDelayMs: 10_000, throttleMs: 30_000, intervalMs: 300_000 }
      }
    }))
    return sidecar
  }

  get state() {
    return this.registry.describe()[0]?.state
  }

  /** @param {import('../../src/connections/session-settings.js').SessionSettings} [settings] */
  async pair(settings) {
    this.registry.start({ ...SESSION, settings })
    const { qr } = await until('a QR', () => this.reports.find(({ type }) => type === 'pairing.qr'))
    await this.whatsapp.post('/scan', { qr, phone: PHONE })
    await until('it is open', () => this.state === 'open')
  }

  async close() {
    await this.registry.shutDown()
    this.client.close()
    await this.whatsapp.close()
    await this.orchestrator.close()
  }
}
