import { startFakeWhatsApp } from '../fake-whatsapp/server.js'

/** Test equipment: the fake WhatsApp with its control API at hand. */
export async function startWhatsApp(options) {
  const server = await startFakeWhatsApp(options)
  const request = async (method, path, body) => {
    const answer = await fetch(server.controlUrl + path, { method, body: body && JSON.stringify(body) })
    const value = await answer.json()
    if (!answer.ok) throw new Error(`${method} ${path}: ${value.code} ${value.detail}`)
    return value
  }
  return Object.assign(server, {
    post: (path, body = {}) => request('POST', path, body),
    get: path => request('GET', path)
  })
}
