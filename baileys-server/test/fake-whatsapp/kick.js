/** Ending the live sockets of accounts, each way that WhatsApp or a network does it. */
import { ControlError } from './control-error.js'
import { conflict, node, SERVER_JID, streamError } from './stanza.js'
import { unlink } from './unlink.js'

/** @typedef {import('./connection.js').Connection} Connection */
/** @typedef {import('./user.js').User} User */
/** @typedef {import('./world.js').World} World */

/** @type {Record<string, (connection: Connection, code: number) => void>} */
const KICKS = {
  device_removed: connection => connection.sendAndClose(streamError(401, conflict('device_removed'))),
  replaced: connection => connection.sendAndClose(streamError(undefined, conflict('replaced'))),
  stream_error: (connection, code) => connection.sendAndClose(streamError(code)),
  xmlstreamend: connection => connection.sendAndClose(node('xmlstreamend')),
  downgrade: connection => connection.sendAndClose(node('ib', { from: SERVER_JID }, [node('downgrade_webclient')])),
  close: connection => connection.socket.close(),
  tcp_drop: connection => connection.drop(),
}

/**
 * @param {World} world
 * @param {User[]} accounts
 * @param {Record<string, any>} order kind, and code for `stream_error`
 * @returns {number} how many sockets were there to end
 */
export function kick(world, accounts, { kind, code = 503 }) {
  const end = KICKS[kind]
  if (!end) throw new ControlError(400, 'unknown_kick', `no kick kind ${kind}`)
  const devices = accounts.flatMap(account => [...account.companions.values()])
  const live = devices.filter(device => device.connection)
  for (const device of live) end(/** @type {Connection} */ (device.connection), code)
  // The owner can remove a device on the phone while it is offline.
  if (kind === 'device_removed') for (const device of devices) unlink(world, device)
  return live.length
}
