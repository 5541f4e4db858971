import { isLidUser, isPnUser, jidNormalizedUser } from '@whiskeysockets/baileys'

/**
 * Both addresses of a user, as far as this session knows them: `jid` is the phone number's where it is known.
 * @param {any} sock
 * @param {string} address either of them
 * @param {string | null} [other] the other one, if WhatsApp told it just now
 * @returns {Promise<{jid: string, lid: string | null}>}
 */
export async function addressesOf(sock, address, other) {
  const one = jidNormalizedUser(address)
  const two = other ? jidNormalizedUser(other) : null
  const lid = [one, two].find(each => each && isLidUser(each)) ?? null
  const known = [one, two].find(each => each && isPnUser(each)) ?? null
  if (known) return { jid: known, lid }
  const mapped = lid ? await sock.signalRepository.lidMapping.getPNForLID(lid) : null
  return { jid: mapped ? jidNormalizedUser(mapped) : one, lid }
}

/**
 * The address by which app state and pictures know a chat: a contact's is its LID, once that is known.
 * @param {any} sock
 * @param {string} jid
 * @returns {Promise<string>}
 */
export async function lidOf(sock, jid) {
  if (!isPnUser(jid)) return jid
  const lid = await sock.signalRepository.lidMapping.getLIDForPN(jid)
  return lid ? jidNormalizedUser(lid) : jid
}
