/**
 * What the phone sends a companion after its first login: chat history, inline, and an app-state key.
 *
 * Without it Baileys holds back `messages.upsert` for 20 s, and at every login again while `accountSyncCounter` is 0.
 */
import { deflateSync } from 'node:zlib'
import { proto } from '@whiskeysockets/baileys'
import { messageKey } from './mailbox.js'
import { node, nowSeconds } from './stanza.js'
import { encryptFor } from './to-companion.js'

/** @typedef {import('./device.js').Device} Device */
/** @typedef {import('./world.js').World} World */

/**
 * @param {World} world
 * @param {Device} device
 */
export function sendPhoneSync(world, device) {
  if (device.phoneSynced || !world.options.phoneSync) return
  device.phoneSynced = true
  world.background(send(world, device, appStateKeyShare(device)))
  world.background(send(world, device, historyBootstrap(device)))
}

/**
 * @param {World} world
 * @param {Device} device
 * @param {import('@whiskeysockets/baileys').proto.Message.IProtocolMessage} protocolMessage
 */
function send(world, device, protocolMessage) {
  const { user } = device
  return user.peer.run(async () => {
    const { type, ciphertext } = await encryptFor(world, user, device, { protocolMessage })
    const id = world.stanzaId()
    const attrs = { from: user.pn, id, t: nowSeconds(), type: 'text', category: 'peer' }
    const stanza = node('message', attrs, [node('enc', { v: '2', type }, ciphertext)])
    // Baileys counts the sync only once it is past the offline backlog.
    device.mailbox.put(messageKey(id), stanza, { live: true })
  })
}

/** @param {Device} device */
function appStateKeyShare({ user: { appState } }) {
  return {
    type: proto.Message.ProtocolMessage.Type.APP_STATE_SYNC_KEY_SHARE,
    appStateSyncKeyShare: {
      keys: [
        {
          keyId: { keyId: appState.keyId },
          keyData: {
            keyData: appState.keyData,
            fingerprint: { rawId: 1, currentIndex: 0, deviceIndexes: [0] },
            timestamp: Date.now(),
          },
        },
      ],
    },
  }
}

/** @param {Device} device */
function historyBootstrap({ user }) {
  const { HistorySyncType } = proto.HistorySync
  const history = proto.HistorySync.encode({
    syncType: HistorySyncType.INITIAL_BOOTSTRAP,
    conversations: [],
    phoneNumberToLidMappings: [{ pnJid: user.pn, lidJid: user.lid }],
    progress: 100,
    chunkOrder: 0,
  }).finish()
  return {
    type: proto.Message.ProtocolMessage.Type.HISTORY_SYNC_NOTIFICATION,
    historySyncNotification: {
      syncType: proto.Message.HistorySyncType?.INITIAL_BOOTSTRAP ?? HistorySyncType.INITIAL_BOOTSTRAP,
      initialHistBootstrapInlinePayload: deflateSync(history),
      progress: 100,
      chunkOrder: 0,
    },
  }
}
