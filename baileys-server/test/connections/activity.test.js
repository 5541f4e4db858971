import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import '../fake-whatsapp/unref-timers.js'
import { DEFAULT_SETTINGS } from '../../src/connections/session-settings.js'
import { InProcess, PHONE, SESSION } from '../support/in-process.js'
import { LoopbackProxy } from '../support/proxy.js'
import { until } from '../support/until.js'

/** Settings of one linked session, changed while it runs. */

let sidecar, whatsapp, ana

before(async () => {
  sidecar = await InProcess.start()
  whatsapp = sidecar.whatsapp
  ana = (await whatsapp.post('/contacts', { phone: '5511900000001' })).jid
  await sidecar.pair({ ...DEFAULT_SETTINGS, device_name: 'Loja Centro' })
})

after(() => sidecar.close())

const apply = changes => sidecar.registry.get(SESSION.sessionRef).applySettings({ ...DEFAULT_SETTINGS, ...changes })
const seen = async kind => (await whatsapp.get(`/seen?kind=${kind}&phone=${PHONE}`)).seen
const received = text => sidecar.orchestrator.eventsOf('message.received').some(data => data.text === text)
const receipted = id => until(`${id} is receipted`, async () => {
  const { messages } = await whatsapp.get(`/messages?direction=in&phone=${PHONE}`)
  return messages.find(message => message.id === id && message.status === 'receipted')
})
const reported = (type, detail) => until(`${type} is reported`, () =>
  sidecar.reports.find(each => each.type === type && Object.entries(detail).every(([name, value]) => each[name] === value)))
const devices = async () => (await whatsapp.get('/accounts')).accounts[0].devices

test('the device bears its name on the phone', async () => {
  assert.equal(whatsapp.world.registry.user(PHONE).companions.get(1).name, 'Loja Centro')
})

test('what comes in is read by itself, but only if that is said', async () => {
  const unread = await whatsapp.post('/send', { from: ana, to: PHONE, text: 'um' })
  assert.equal((await receipted(unread.id)).receipt !== 'read', true)
  assert.equal(await apply({ read_automatically: true }), false)
  const { id } = await whatsapp.post('/send', { from: ana, to: PHONE, text: 'dois' })
  await until('it is read', async () => (await seen('read')).some(({ ids }) => ids.includes(id)))
  assert.equal((await seen('read')).some(({ ids }) => ids.includes(unread.id)), false)
})

test('messages of ignored groups are acknowledged like any other and told to nobody', async () => {
  const { jid: group } = await whatsapp.post('/groups', { subject: 'Ruído', members: [ana, PHONE] })
  await apply({ ignore_groups: true })
  const ignored = await whatsapp.post('/send', { from: ana, group, text: 'ignorada' })
  await receipted(ignored.id)
  await apply({})
  const told = await whatsapp.post('/send', { from: ana, group, text: 'contada' })
  await receipted(told.id)
  await until('the second is told', () => received('contada'))
  assert.equal(received('ignorada'), false)
})

test('calls are told, and rejected with a message if that is said', async () => {
  const { call_id: first } = await whatsapp.post('/call', { from: ana, to: PHONE })
  await reported('call.received', { call_id: first, from: ana, rejected: false, video: false })
  await apply({ reject_calls: true, reject_call_message: 'Só por mensagem, por favor.' })
  const { call_id: second } = await whatsapp.post('/call', { from: ana, to: PHONE, video: true })
  await reported('call.received', { call_id: second, rejected: true, video: true })
  await until('it is rejected', async () => (await seen('call_rejected')).some(each => each.call_id === second))
  await until('the message arrives', async () => (await whatsapp.get('/messages?direction=out')).messages.some(({ text, status }) =>
    text === 'Só por mensagem, por favor.' && status === 'decrypted'))
  assert.equal((await seen('call_rejected')).length, 1)
})

test('a proxy is taken without a new lease, and without a message lost; what is wrong with it is named', async () => {
  const proxy = await LoopbackProxy.start({ user: 'loja', password: 'senha' })
  try {
    const sent = sidecar.registry.get(17).send({ to: ana, type: 'text', text: 'antes' })
    assert.equal(await apply({ proxy: proxy.url('socks5', 'loja:senha') }), true)
    await sent
    await until('it is open again', () => sidecar.state === 'open')
    assert.deepEqual(proxy.tunnels, [new URL(whatsapp.wsUrl).host])
    await whatsapp.post('/send', { from: ana, to: PHONE, text: 'pelo proxy' })
    await until('a message comes through it', () => received('pelo proxy') && proxy.bytes > 1000)

    await apply({ proxy: proxy.url('http', 'loja:errada') })
    await reported('session.alert', { alert: 'proxy_failed', reason: 'The proxy refuses the credentials.' })
    const { reason } = sidecar.registry.describe()[0]
    assert.match(reason, /^The proxy refuses the credentials; reconnecting in/)
    await whatsapp.post('/send', { from: ana, to: PHONE, text: 'enquanto isso' })

    await apply({ proxy: proxy.url('http', 'loja:senha') })
    await until('it is open again', () => sidecar.state === 'open')
    await until('what came meanwhile is there', () => received('enquanto isso'))
    assert.equal(proxy.tunnels.length, 2)
    await apply({})
    await until('it is open without', () => sidecar.state === 'open' && proxy.tunnels.length === 2)
    const [device] = await devices()
    assert.deepEqual([device.logins >= 4, device.evictions], [true, 0])
    assert.equal((await whatsapp.get('/counts')).registrations, 1)
    assert.equal(JSON.stringify(sidecar.reports).includes('errada'), false)
  } finally {
    await proxy.close()
  }
})

test('whether it is shown as online changes at once', async () => {
  sidecar.registry.get(17)
  await whatsapp.post('/app-state', { phone: PHONE, collection: 'critical_block', index: ['setting_pushName'], value: { pushNameSetting: { name: 'Loja' } }, version: 1 })
  await until('it has a name', () => JSON.parse(sidecar.orchestrator.session(17).creds).me.name === 'Loja')
  await apply({ mark_online: false })
  await until('it is offline', async () => (await seen('presence')).at(-1)?.presence === 'unavailable')
  await apply({ mark_online: true })
  await until('it is online', async () => (await seen('presence')).at(-1)?.presence === 'available')
})
