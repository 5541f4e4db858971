/**
 * Runs the fake WhatsApp as a process of its own.
 *
 *     node main.js [--port 0] [--control-port 0] [--media-certificate PATH] [--socket-grace-ms 1000] ...
 *
 * Prints one JSON line when it is ready; SIGTERM and SIGINT end it at once.
 */
import './quiet.js'
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { startFakeWhatsApp } from './server.js'

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    'control-port': { type: 'string', default: '0' },
    'media-certificate': { type: 'string' },
    'handshake-pause-ms': { type: 'string' },
    'socket-grace-ms': { type: 'string' },
    'registration-timeout-ms': { type: 'string' },
    'retry-delay-ms': { type: 'string' },
    'undecryptable-after-ms': { type: 'string' },
    'no-phone-sync': { type: 'boolean', default: false },
  },
})

/** @param {string | boolean | undefined} value */
const number = value => (value === undefined ? undefined : Number(value))

const options = {
  handshakePauseMs: number(values['handshake-pause-ms']),
  socketGraceMs: number(values['socket-grace-ms']),
  registrationTimeoutMs: number(values['registration-timeout-ms']),
  retryDelayMs: number(values['retry-delay-ms']),
  undecryptableAfterMs: number(values['undecryptable-after-ms']),
}
const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))

for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0))

const server = await startFakeWhatsApp({
  port: number(values.port),
  controlPort: number(values['control-port']),
  phoneSync: !values['no-phone-sync'],
  ...given,
})
if (values['media-certificate']) writeFileSync(values['media-certificate'], server.mediaCertificate)
process.stdout.write(
  JSON.stringify({ ws_url: server.wsUrl, control_url: server.controlUrl, root_key: server.rootKey }) + '\n'
)
