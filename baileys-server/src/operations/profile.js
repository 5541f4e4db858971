import { jidNormalizedUser } from '@whiskeysockets/baileys'
import { record, text } from './fields.js'
import { jpegOf, MOST_PICTURE, pictureOf, setPicture } from './pictures.js'

/** @type {Record<string, import('./perform.js').Operation>} */
export const profileOperations = {
  'profile.get': {
    takes: record({}),
    async run({ sock }) {
      const { id, lid, name } = sock.authState.creds.me
      const jid = jidNormalizedUser(id)
      const [[found], { url }] = await Promise.all([sock.fetchStatus(jid).then((/** @type {any} */ list) => list ?? []), pictureOf(sock, jid, 'image')])
      return { jid, lid: lid ? jidNormalizedUser(lid) : null, name: name ?? null, about: found?.status?.status || null, picture_url: url }
    }
  },
  'profile.set_name': {
    takes: record({ name: text(1, 25) }),
    async run({ sock }, { name }) {
      await sock.updateProfileName(name)
      // Our own changes of the app state aren't told to us.
      sock.ev.emit('creds.update', { me: { ...sock.authState.creds.me, name } })
    }
  },
  'profile.set_about': {
    takes: record({ about: text(0, 139) }),
    run: ({ sock }, { about }) => sock.updateProfileStatus(about)
  },
  'profile.set_picture': {
    takes: record({ picture: text(8, MOST_PICTURE) }),
    run: async ({ sock }, { picture }) => setPicture(sock, jpegOf(picture))
  },
  'profile.remove_picture': {
    takes: record({}),
    run: ({ sock }) => setPicture(sock, null)
  }
}
