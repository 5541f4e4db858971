import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { until } from './until.js'
import { TOKEN } from './orchestrator.js'

/** Test equipment: main.js as the real process that supervisord starts, and its control API. */
export class Sidecar {
  output = ''

  static environment({ orchestrator, whatsapp }) {
    return {
      SIDECAR_PORT: '0',
      INTERNAL_TOKEN: TOKEN,
      ORCHESTRATOR_SOCKET: orchestrator.socketPath,
      WHATSAPP_WEB_URL: whatsapp.wsUrl,
      WHATSAPP_ROOT_KEY: whatsapp.rootKey
    }
  }

  /**
   * @param {{orchestrator: import('./orchestrator.js').FakeOrchestrator, whatsapp: {wsUrl: string, rootKey: string},
   *   env?: Record<string, string>}} parts
   */
  static async start({ orchestrator, whatsapp, env = {} }) {
    const sidecar = new Sidecar()
    sidecar.process = spawn(process.execPath, [fileURLToPath(new URL('../../src/main.js', import.meta.url))], {
      env: { PATH: process.env.PATH, ...Sidecar.environment({ orchestrator, whatsapp }), ...env }
    })
    sidecar.exited = new Promise(resolve => sidecar.process.once('exit', (code, signal) => resolve({ code, signal })))
    for (const stream of [sidecar.process.stdout, sidecar.process.stderr]) stream.on('data', data => { sidecar.output += data })
    await until('the sidecar listens', () => sidecar.logged('sidecar_listening') || sidecar.process.exitCode !== null)
    sidecar.url = `http://127.0.0.1:${sidecar.logged('sidecar_listening').port}`
    return sidecar
  }

  /** The newest log line of that event. @param {string} event */
  logged(event) {
    return this.output.split('\n').filter(line => line.includes(`"event":"${event}"`)).map(line => JSON.parse(line)).at(-1)
  }

  /** @param {string} method @param {string} path @param {any} [body] @param {Record<string, string>} [headers] */
  async call(method, path, body, headers = {}) {
    const answer = await fetch(this.url + path, {
      method,
      headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json', ...headers },
      body: body === undefined ? undefined : JSON.stringify(body)
    })
    return { status: answer.status, body: await answer.json() }
  }

  /** @param {number} ref @param {object} [lease] */
  startSession(ref, { epoch = 1, generation = 1 } = {}) {
    return this.call('PUT', `/v1/sessions/${ref}`, { session_id: `session-${ref}`, generation, epoch })
  }

  /** @param {number} ref */
  async session(ref) {
    const { body } = await this.call('GET', '/v1/sessions')
    return body.sessions.find(session => session.session_ref === ref)
  }

  /** @param {number} ref @param {string} state */
  inState(ref, state) {
    return until(`session ${ref} is ${state}`, async () => {
      const session = await this.session(ref)
      return session?.state === state ? session : null
    })
  }

  /** @param {number} ref @param {string} to @param {string} text */
  send(ref, to, text) {
    return this.call('POST', `/v1/sessions/${ref}/messages`, { to, type: 'text', text })
  }

  /** @param {NodeJS.Signals} [signal] */
  async stop(signal = 'SIGTERM') {
    this.process.kill(signal)
    return await this.exited
  }
}
