/**
 * Points an unmodified program at the fake: `node --import ./trust.js program.js`.
 *
 * Baileys has no option for its trusted root, but reads this exported object at every handshake.
 */
import { DEFAULT_CONNECTION_CONFIG, WA_CERT_DETAILS } from '@whiskeysockets/baileys'

const { FAKE_WHATSAPP_ROOT_KEY: rootKey, FAKE_WHATSAPP_WS_URL: url } = process.env

if (rootKey) WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(rootKey, 'hex')
if (url) DEFAULT_CONNECTION_CONFIG.waWebSocketUrl = url
