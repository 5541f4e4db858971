import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { InProcess, PHONE } from '../support/in-process.js'
import { until } from '../support/until.js'

/** Sends whose id was fixed beforehand: shown once by the phone, whatever is lost on the way. */

let sidecar, contact

before(async () => {
  sidecar = await InProcess.start()
  await sidecar.pair()
  contact = await sidecar.whatsapp.post('/contacts', { name: 'Ana' })
})
after(() => sidecar.close())

let count = 0
const newId = () => `3EB0${String(count++).padStart(18, '0')}`
const send = async (messageId, text, again = false) =>
  (await sidecar.registry.get(17).sendOnce({ to: contact.jid, type: 'text', text, message_id: messageId, again })).acknowledged
const fail = (kind, more = {}) => sidecar.whatsapp.post('/failures', { kind, phone: PHONE, ...more })

async function read(messageId) {
  return await until(`${messageId} is read`, async () => {
    const { messages } = await sidecar.whatsapp.get('/messages?direction=out')
    return messages.find(({ id, status }) => id === messageId && status === 'decrypted')
  })
}

test('the answer comes with the word of WhatsApp, and asking again is the same send', async () => {
  const id = newId()
  const [first, second] = await Promise.all([send(id, 'once'), send(id, 'once')])
  assert.deepEqual([first, second, await send(id, 'once')], [true, true, true])
  const { text, duplicates } = await read(id)
  assert.deepEqual([text, duplicates], ['once', 0])
})

test('a message whose acknowledgement was lost with the connection is sent again as the same message', async () => {
  const id = newId()
  await fail('drop_acks')
  const heard = send(id, 'again')
  await read(id)
  const opened = () => sidecar.reports.filter(({ type, state }) => type === 'connection.state' && state === 'open').length
  const before = opened()
  for (const connection of sidecar.whatsapp.world.connections) connection.drop()
  assert.equal(await heard, false)
  await until('it is open again', () => opened() > before)
  assert.equal(await send(id, 'another text than the first time', true), true)
  const { text, duplicates, shown } = await until('the copy', async () => {
    const message = await read(id)
    return message.duplicates > 0 && message
  })
  assert.deepEqual([text, duplicates], ['again', 1])
  assert.ok(shown > 0)
})

test('a message that WhatsApp refuses says so', async () => {
  await fail('refuse_message', { code: 463 })
  await assert.rejects(send(newId(), 'no'), { code: 'message_refused', message: /463/ })
})
