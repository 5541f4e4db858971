import { isJidStatusBroadcast, isJidNewsletter } from '@whiskeysockets/baileys'
import { safeError } from '../log.js'

/**
 * What a session does by itself because its settings say so: read what comes in, and reject calls.
 *
 * @typedef {object} Parts
 * @property {() => import('./session-settings.js').SessionSettings} settings as they are at the moment
 * @property {(type: string, data: Record<string, unknown>) => void} report
 * @property {(message: {to: string, type: 'text', text: string}) => Promise<unknown>} send
 * @property {import('../log.js').Logger} log
 */

/** @param {any} sock @param {Parts} parts */
export function actAutomatically(sock, parts) {
  sock.ev.on('messages.upsert', (/** @type {any} */ { messages }) => {
    if (parts.settings().read_automatically) attempt(read(sock, messages), parts.log, 'automatic_read_failed')
  })
  sock.ev.on('call', (/** @type {any[]} */ calls) => {
    for (const call of calls) if (call.status === 'offer' && !call.offline) attempt(onCall(sock, call, parts), parts.log, 'call_not_rejected')
  })
}

/** @param {any} sock @param {any[]} messages */
async function read(sock, messages) {
  const unread = messages.filter(({ key, message }) => message && !key.fromMe && !isJidStatusBroadcast(key.remoteJid) && !isJidNewsletter(key.remoteJid))
  if (unread.length > 0) await sock.readMessages(unread.map(({ key }) => key))
}

/** @param {any} sock @param {any} call @param {Parts} parts */
async function onCall(sock, call, { settings, report, send }) {
  const { reject_calls: rejects, reject_call_message: words } = settings()
  const caller = call.callerPn ?? call.from
  report('call.received', { call_id: call.id, from: caller, video: Boolean(call.isVideo), group: call.groupJid ?? null, rejected: rejects })
  if (!rejects) return
  await sock.rejectCall(call.id, call.from)
  if (words) await send({ to: caller, type: 'text', text: words })
}

/** @param {Promise<unknown>} work @param {import('../log.js').Logger} log @param {string} event */
function attempt(work, log, event) {
  work.catch(error => log.warn(safeError(error), event))
}
