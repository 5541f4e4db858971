import assert from 'node:assert/strict'
import { test } from 'node:test'
import '../../src/silence-console.js'
import { proto } from '@whiskeysockets/baileys'
import { configOf, DEFAULT_SETTINGS, isWanted, needsNewSocket, settingsOf } from '../../src/connections/session-settings.js'

const { FULL, RECENT, PUSH_NAME, INITIAL_BOOTSTRAP } = proto.HistorySync.HistorySyncType
const with_ = changes => ({ ...DEFAULT_SETTINGS, ...changes })

test('only a new socket knows another proxy; what the pairing tells matters to one that is still pairing', () => {
  const proxy = 'socks5://127.0.0.1:1'
  for (const [before, after, paired, expected] of [
    [{}, { proxy }, true, true],
    [{ proxy }, { proxy }, true, false],
    [{ proxy }, {}, false, true],
    [{}, { device_name: 'Loja' }, true, false],
    [{}, { device_name: 'Loja' }, false, true],
    [{}, { history_sync: 'full' }, false, true],
    [{}, { mark_online: false, ignore_groups: true, reject_calls: true, read_automatically: true }, false, false]
  ]) assert.equal(needsNewSocket(with_(before), with_(after), paired), expected, JSON.stringify([before, after, paired]))
})

test('what Baileys is told', () => {
  const usual = configOf(DEFAULT_SETTINGS, null)
  assert.deepEqual([usual.markOnlineOnConnect, usual.browser[0], usual.syncFullHistory, 'agent' in usual], [true, 'Mac OS', false, false])
  assert.deepEqual(configOf(with_({ device_name: 'Loja Centro', mark_online: false }), null).browser.slice(0, 2), ['Loja Centro', 'Chrome'])
  const wanted = history => [FULL, RECENT, PUSH_NAME, INITIAL_BOOTSTRAP].map(syncType => configOf(with_({ history_sync: history }), null).shouldSyncHistoryMessage({ syncType }))
  assert.deepEqual(wanted('none'), [false, false, true, true])
  assert.deepEqual(wanted('recent'), [false, true, true, true])
  assert.deepEqual(wanted('full'), [true, true, true, true])
})

test('which chats are told', () => {
  const chats = ['5511999990000@s.whatsapp.net', '100@lid', '120363@g.us', 'status@broadcast', '120363@newsletter']
  const told = changes => chats.filter(chat => isWanted(with_(changes), chat))
  assert.deepEqual(told({}), chats)
  assert.deepEqual(told({ ignore_groups: true, ignore_status: true, ignore_channels: true }), chats.slice(0, 2))
})

test('what comes over the wire is complete, frozen and checked', () => {
  assert.deepEqual(settingsOf({ reject_calls: true, reject_call_message: null }), with_({ reject_calls: true }))
  assert.throws(() => { settingsOf({}).proxy = 'x' }, TypeError)
  for (const [body, message] of [
    [{ proxy: 'ftp://127.0.0.1' }, /settings.proxy must be a URL of http, https or socks5/],
    [{ proxy: 'socks5://' }, /settings.proxy/],
    [{ history_sync: 'all' }, /settings.history_sync must be one of none, recent, full/],
    [{ mark_online: 1 }, /settings.mark_online must be true or false/],
    [{ colour: 'red' }, /settings.colour is not a field/],
    [[], /settings must be a JSON object/]
  ]) assert.throws(() => settingsOf(body), { code: 'invalid_request', message })
})
