/**
 * A certificate for loopback, made anew by each start. Baileys builds https:// addresses of media hosts, so the fake's host
 * needs one; a client trusts it by NODE_EXTRA_CA_CERTS.
 */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'

const SEQUENCE = 0x30
const SET = 0x31
const LOOPBACK = Buffer.from([127, 0, 0, 1])
const ECDSA_WITH_SHA256 = sequence(oid('2a8648ce3d040302'))
const NAME = sequence(der(SET, sequence(oid('550403'), der(0x0c, Buffer.from('fake WhatsApp media host')))))

/** @returns {{key: string, cert: string}} both PEM */
export function selfSigned() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const now = Date.now()
  const validity = sequence(utcTime(now - 3_600_000), utcTime(now + 30 * 86_400_000))
  const altName = sequence(oid('551d11'), der(0x04, sequence(der(0x87, LOOPBACK), der(0x82, Buffer.from('localhost')))))
  // A root of its own: without this a client takes it for an incomplete chain.
  const basic = sequence(oid('551d13'), der(0x01, Buffer.from([0xff])), der(0x04, sequence(der(0x01, Buffer.from([0xff])))))
  const toSign = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    ECDSA_WITH_SHA256,
    NAME,
    validity,
    NAME,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(basic, altName))
  )
  const signature = Buffer.concat([Buffer.from([0]), sign('sha256', toSign, privateKey)])
  const body = sequence(toSign, ECDSA_WITH_SHA256, der(0x03, signature)).toString('base64').replace(/.{64}/g, '$&\n')
  return {
    key: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
    cert: `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`,
  }
}

/** @param {number} tag @param {Buffer} content */
function der(tag, content) {
  const { length } = content
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}

/** @param {Buffer[]} parts */
function sequence(...parts) {
  return der(SEQUENCE, Buffer.concat(parts))
}

/** @param {string} hex of the encoded identifier */
function oid(hex) {
  return der(0x06, Buffer.from(hex, 'hex'))
}

/** @param {number} at */
function utcTime(at) {
  return der(0x17, Buffer.from(new Date(at).toISOString().replace(/[-:T]/g, '').slice(2, 14) + 'Z'))
}
