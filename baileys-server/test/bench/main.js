import { env, exit } from 'node:process'
import '../../src/silence-console.js'
import { Window, released, say } from './window.js'
import { readWorkload } from './workload.js'

/**
 * One store under one load, in a process of its own that tests/bench/loads.py starts, with its options as JSON in
 * BENCH_OPTIONS. Says when measuring begins and ends, waits until its input is closed, and says the result.
 *
 * @typedef {object} Session Baileys' SignalKeyStore, and the creds
 * @property {(set: import('./workload.js').KeySet) => Promise<void>} set resolves when durable
 * @property {(type: string, ids: string[]) => Promise<Record<string, any>>} get
 * @property {() => Promise<void>} saveCreds resolves when durable
 *
 * @typedef {object} Store
 * @property {(number: number) => Promise<Session>} session
 * @property {(numbers: number[]) => Promise<any[]>} restore the creds of these sessions
 * @property {() => Promise<void>} close
 *
 * @typedef {object} Options
 * @property {string} load a module of loads/
 * @property {string} store path of the module that has `openStore(options, workload)`
 * @property {string} workload path of the recording
 * @property {number[]} sessions
 * @property {number} offset where in the recording the first session begins
 * @property {number} seconds
 * @property {number} messages_per_second of the light load
 * @property {number} keys beside those of the recording, for `fill`
 * @property {any} service how to reach what the store writes to
 *
 * @typedef {{store: Store, workload: import('./workload.js').Workload, window: Window, options: Options}} Bench
 */

/** @type {Options} */
const options = JSON.parse(env.BENCH_OPTIONS ?? '')
const workload = readWorkload(options.workload)
const { openStore } = await import(options.store)
const { run } = await import(`./loads/${options.load}.js`)
const window = new Window()
const store = await openStore(options.service, workload)
const more = await run({ store, workload, window, options })
await released
say({ event: 'result', ...window.result, ...more })
await store.close()
exit(0)
