import { performance } from 'node:perf_hooks'
import { env, exit, stdin, stdout } from 'node:process'
import { createInterface } from 'node:readline'
import { linked, textOf } from '../fake-whatsapp/client.js'

/**
 * The limit that tests/bench/through.py compares with: Baileys alone, all accounts in one process, nothing stored but in
 * memory, nobody in between. Takes BENCH_OPTIONS as JSON, and orders as lines of JSON; says an answer to each.
 *
 * @typedef {{server: import('../fake-whatsapp/client.js').FakeWhatsApp, accounts: {phone: string, contact: string}[]}} Options
 * @typedef {{send: number, at_once: number} | {receive: number}} Order send: so many from each account, at most `at_once` of
 *   one at a time; receive: so many in all
 */

const LINKED_AT_ONCE = 4

/** @type {Options} */
const { server, accounts } = JSON.parse(env.BENCH_OPTIONS ?? '')
/** @type {import('../fake-whatsapp/client.js').Client[]} */
const clients = []
for (let first = 0; first < accounts.length; first += LINKED_AT_ONCE) {
  clients.push(...await Promise.all(accounts.slice(first, first + LINKED_AT_ONCE).map(({ phone }) => linked(server, phone))))
}

/** When each text came in, in seconds since 1970. @type {Map<string, number>} */
const received = new Map()
/** @type {{number: number, resolve: (value?: unknown) => void} | null} */
let waiting = null
for (const client of clients) {
  client.socket.ev.on('messages.upsert', ({ messages }) => {
    for (const message of messages) {
      const text = textOf(message.message)
      if (text) received.set(text, now())
    }
    if (waiting && received.size >= waiting.number) waiting.resolve()
  })
}

/** @param {number} each @param {number} atOnce */
async function send(each, atOnce) {
  /** @type {number[]} */
  const latencies = []
  const began = performance.now()
  await Promise.all(clients.map((client, index) => {
    let left = each
    const one = async () => {
      while (left-- > 0) {
        const at = performance.now()
        await client.send(accounts[index].contact, `bare ${left}`)
        latencies.push(performance.now() - at)
      }
    }
    return Promise.all(Array.from({ length: atOnce }, one))
  }))
  return { seconds: (performance.now() - began) / 1000, latencies_ms: latencies }
}

/** @param {number} number */
async function receive(number) {
  if (received.size < number) await new Promise(resolve => { waiting = { number, resolve } })
  waiting = null
  const at = Object.fromEntries(received)
  received.clear()
  return { received_at: at }
}

const now = () => (performance.timeOrigin + performance.now()) / 1000
const say = (/** @type {object} */ answer) => stdout.write(`${JSON.stringify(answer)}\n`)

say({ linked: clients.length })
for await (const line of createInterface({ input: stdin })) {
  const order = JSON.parse(line)
  say('send' in order ? await send(order.send, order.at_once) : await receive(order.receive))
}
exit(0)
