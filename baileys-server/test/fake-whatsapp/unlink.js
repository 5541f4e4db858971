/** The end of a companion device, from either side. */

/** @typedef {import('./device.js').Device} Device */
/** @typedef {import('./world.js').World} World */

/**
 * Forgets a device; what was under way to or from it will not arrive.
 *
 * @param {World} world
 * @param {Device} device
 */
export function unlink(world, device) {
  device.user.companions.delete(device.id)
  for (const record of world.ledger.outstanding) {
    if (record.to === device.jid) world.ledger.update(record, { status: 'nacked', nack: 'unlinked' })
    else if (record.from === device.jid) world.ledger.update(record, { status: 'undecryptable' })
  }
}
