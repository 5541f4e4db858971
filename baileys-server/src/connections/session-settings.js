import { DEFAULT_CONNECTION_CONFIG, proto } from '@whiskeysockets/baileys'
import { flag, oneOf, optional, record, text } from '../operations/fields.js'
import { ControlError } from './control-error.js'

/**
 * What an owner decides about a session (docs/api.md). Frozen; a change brings a new value.
 *
 * @typedef {object} SessionSettings
 * @property {string | null} proxy a URL, with its credentials
 * @property {string | null} device_name
 * @property {boolean} mark_online
 * @property {boolean} read_automatically
 * @property {boolean} ignore_groups
 * @property {boolean} ignore_status
 * @property {boolean} ignore_channels
 * @property {boolean} reject_calls
 * @property {string | null} reject_call_message
 * @property {'none' | 'recent' | 'full'} history_sync
 */

/** @type {Readonly<SessionSettings>} */
export const DEFAULT_SETTINGS = Object.freeze({
  proxy: null,
  device_name: null,
  mark_online: true,
  read_automatically: false,
  ignore_groups: false,
  ignore_status: false,
  ignore_channels: false,
  reject_calls: false,
  reject_call_message: null,
  history_sync: 'recent'
})

const readers = record({
  proxy: optional(text(1, 1000)),
  device_name: optional(text(1, 50)),
  mark_online: optional(flag),
  read_automatically: optional(flag),
  ignore_groups: optional(flag),
  ignore_status: optional(flag),
  ignore_channels: optional(flag),
  reject_calls: optional(flag),
  reject_call_message: optional(text(1, 4096)),
  history_sync: optional(oneOf('none', 'recent', 'full'))
})

const PROXY_PROTOCOLS = ['http:', 'https:', 'socks5:']
const { HistorySyncType } = proto.HistorySync

/**
 * @param {unknown} body
 * @returns {Readonly<SessionSettings>} what isn't given is as by default
 */
export function settingsOf(body) {
  const given = Object.entries(readers(body, 'settings')).filter(([, value]) => value !== undefined)
  const settings = /** @type {SessionSettings} */ ({ ...DEFAULT_SETTINGS, ...Object.fromEntries(given) })
  if (settings.proxy !== null && !isProxy(settings.proxy)) {
    throw new ControlError('invalid_request', 'settings.proxy must be a URL of http, https or socks5.')
  }
  return Object.freeze(settings)
}

/** @param {string} text */
function isProxy(text) {
  if (!URL.canParse(text)) return false
  const { protocol, hostname } = new URL(text)
  return PROXY_PROTOCOLS.includes(protocol) && hostname !== ''
}

/**
 * Whether a change is only known to a new socket. Everything else is looked up when it matters; what is told at a pairing
 * waits for the next one when the session is paired.
 * @param {SessionSettings} before
 * @param {SessionSettings} after
 * @param {boolean} paired
 */
export function needsNewSocket(before, after, paired) {
  if (before.proxy !== after.proxy) return true
  return !paired && (before.device_name !== after.device_name || before.history_sync !== after.history_sync)
}

/**
 * What Baileys is told when a socket is made.
 * @param {SessionSettings} settings
 * @param {import('../proxy/route.js').ProxyRoute | null} route
 */
export function configOf({ mark_online: markOnline, device_name: name, history_sync: history }, route) {
  const [os, browser, version] = DEFAULT_CONNECTION_CONFIG.browser
  return {
    markOnlineOnConnect: markOnline,
    // The phone shows the second part too, and takes no pairing code from one that isn't a browser's.
    browser: [name ?? os, browser, version],
    // What the first sync brings beside old messages (LIDs, app state keys) comes without it.
    syncFullHistory: history === 'full',
    shouldSyncHistoryMessage: (/** @type {{syncType?: number | null}} */ { syncType }) => wantsHistory(history, syncType),
    ...(route ? { agent: route.agent, fetchAgent: route.fetchAgent, options: { dispatcher: route.dispatcher } } : {})
  }
}

/**
 * Without any, Baileys would never learn the LIDs of old chats.
 * @param {SessionSettings['history_sync']} history
 * @param {number | null | undefined} syncType
 */
function wantsHistory(history, syncType) {
  if (syncType === HistorySyncType.FULL) return history === 'full'
  if (syncType === HistorySyncType.RECENT) return history !== 'none'
  return true
}

/**
 * Whether the owner wants to hear of messages in this chat. An ignored one is decrypted and acknowledged like any other: a
 * refusal would have its sender believe that it failed, and leave us without the keys for the next ones.
 * @param {SessionSettings} settings
 * @param {string} chat
 */
export function isWanted(settings, chat) {
  if (chat === 'status@broadcast') return !settings.ignore_status
  if (chat.endsWith('@newsletter')) return !settings.ignore_channels
  return !(settings.ignore_groups && chat.endsWith('@g.us'))
}
