import { addressesOf, lidOf } from './addresses.js'
import { chat, oneOf, optional, record, text, user } from './fields.js'
import { pictureOf } from './pictures.js'

/** @type {Record<string, import('./perform.js').Operation>} */
export const contactOperations = {
  'contacts.about': {
    takes: record({ jid: user }),
    async run({ sock }, { jid }) {
      const [found] = await sock.fetchStatus(jid) ?? []
      const about = found?.status
      return { about: about?.status || null, set_at: about?.status && about.setAt > 0 ? about.setAt.toISOString() : null }
    }
  },
  'contacts.picture': {
    takes: record({ jid: chat, size: oneOf('preview', 'image') }),
    run: ({ sock }, { jid, size }) => pictureOf(sock, jid, size)
  },
  'contacts.save': {
    takes: record({ jid: user, name: text(1, 100), first_name: optional(text(1, 100)) }),
    async run({ sock, directory }, { jid, name, first_name: firstName }) {
      const { jid: pn, lid } = await known(sock, jid)
      await sock.addOrEditContact(pn, { fullName: name, firstName: firstName ?? name.split(' ')[0], lidJid: lid ?? undefined, saveOnPrimaryAddressbook: true })
      directory.change('contact', pn, { name, lid })
    }
  },
  'contacts.remove': {
    takes: record({ jid: user }),
    async run({ sock, directory }, { jid }) {
      const { jid: pn } = await known(sock, jid)
      await sock.removeContact(pn)
      directory.change('contact', pn, { name: null })
    }
  }
}

/** @param {any} sock @param {string} jid */
async function known(sock, jid) {
  return addressesOf(sock, jid, await lidOf(sock, jid))
}
