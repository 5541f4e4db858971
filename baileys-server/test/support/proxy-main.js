/**
 * Runs the loopback proxy as a process of its own: `node proxy-main.js [user password]`. Prints its port, and from then on
 * a line for each tunnel and each caller that it refused.
 */
import { LoopbackProxy } from './proxy.js'

const [user, password] = process.argv.slice(2)
const proxy = await LoopbackProxy.start(user ? { user, password } : null)
const say = (/** @type {object} */ line) => process.stdout.write(JSON.stringify(line) + '\n')
proxy.onTunnel = (/** @type {string} */ to) => say({ tunnel: to })
proxy.onRefused = () => say({ refused: true })
say({ port: Number(new URL(proxy.url('http')).port) })
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0))
