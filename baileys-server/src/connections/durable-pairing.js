import { configureSuccessfulPairing } from '@whiskeysockets/baileys'

/**
 * Baileys answers WhatsApp's pair-success at once and writes the creds afterwards: a crash in between leaves a device
 * on the phone that nobody holds the keys of. Here the answer waits until the creds are durable; when they can't be
 * made durable there is no answer, so the phone says that linking failed, which is the truth.
 *
 * @param {ReturnType<import('@whiskeysockets/baileys').makeWASocket>} sock
 * @param {() => Promise<void>} credsDurable
 */
export function answerPairSuccessWhenDurable(sock, credsDurable) {
  sock.ws.removeAllListeners('CB:iq,,pair-success')
  sock.ws.on('CB:iq,,pair-success', async (/** @type {any} */ stanza) => {
    try {
      sock.updateServerTimeOffset(stanza)
      const { reply, creds } = configureSuccessfulPairing(stanza, sock.authState.creds)
      sock.ev.emit('creds.update', creds)
      await credsDurable()
      sock.ev.emit('connection.update', { isNewLogin: true, qr: undefined })
      await sock.sendNode(reply)
    } catch (error) {
      sock.end(/** @type {Error} */ (error))
    }
  })
}
