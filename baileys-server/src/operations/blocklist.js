import { addressesOf } from './addresses.js'
import { oneOf, record, user } from './fields.js'

/** @type {Record<string, import('./perform.js').Operation>} */
export const blocklistOperations = {
  'blocklist.get': {
    takes: record({}),
    async run({ sock }) {
      const blocked = await sock.fetchBlocklist()
      return { blocked: await Promise.all(blocked.map((/** @type {string} */ jid) => addressesOf(sock, jid))) }
    }
  },
  'blocklist.update': {
    takes: record({ jid: user, action: oneOf('block', 'unblock') }),
    run: ({ sock }, { jid, action }) => sock.updateBlockStatus(jid, action)
  }
}
