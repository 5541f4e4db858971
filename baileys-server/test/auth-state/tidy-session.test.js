import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import '../../src/silence-console.js'
import { Curve, generateRegistrationId } from '@whiskeysockets/baileys'
import { tidySession } from '../../src/auth-state/tidy-session.js'
import { ProtocolAddress, SessionBuilder, SessionCipher, SessionRecord } from '../fake-whatsapp/libsignal.js'

/** Real libsignal on both sides; each record goes through JSON and is tidied when it is stored. */

const prefixed = key => Buffer.concat([Buffer.from([5]), key])

class Party {
  constructor() {
    this.text = null
    this.identity = Curve.generateKeyPair()
    this.signedPreKey = Curve.generateKeyPair()
    this.preKey = Curve.generateKeyPair()
    this.registrationId = generateRegistrationId()
    this.cipher = new SessionCipher(this, new ProtocolAddress('other', 0))
  }

  get record() {
    return JSON.parse(this.text)
  }

  get chains() {
    return Object.values(Object.values(this.record._sessions)[0]._chains)
  }

  bundle() {
    return {
      registrationId: this.registrationId,
      identityKey: prefixed(this.identity.public),
      signedPreKey: { keyId: 1, publicKey: prefixed(this.signedPreKey.public), signature: Curve.sign(this.identity.private, prefixed(this.signedPreKey.public)) },
      preKey: { keyId: 2, publicKey: prefixed(this.preKey.public) }
    }
  }

  async write(text) {
    return await this.cipher.encrypt(Buffer.from(text))
  }

  async read({ type, body }) {
    const message = Buffer.from(body)
    return (type === 3 ? await this.cipher.decryptPreKeyWhisperMessage(message) : await this.cipher.decryptWhisperMessage(message)).toString()
  }

  // What libsignal asks of its storage.
  loadSession = async () => this.text && SessionRecord.deserialize(this.record)
  storeSession = async (_id, record) => { this.text = JSON.stringify(tidySession(record.serialize())) }
  isTrustedIdentity = () => true
  loadPreKey = async () => ({ pubKey: prefixed(this.preKey.public), privKey: Buffer.from(this.preKey.private) })
  removePreKey = async () => {}
  loadSignedPreKey = async () => ({ pubKey: prefixed(this.signedPreKey.public), privKey: Buffer.from(this.signedPreKey.private) })
  getOurRegistrationId = () => this.registrationId
  getOurIdentity = () => ({ pubKey: prefixed(this.identity.public), privKey: Buffer.from(this.identity.private) })
}

let ana, loja

beforeEach(async () => {
  ana = new Party()
  loja = new Party()
  await new SessionBuilder(ana, new ProtocolAddress('other', 0)).initOutgoing(loja.bundle())
})

async function roundTrips(count) {
  for (let n = 0; n < count; n++) {
    assert.equal(await loja.read(await ana.write(`to ${n}`)), `to ${n}`)
    assert.equal(await ana.read(await loja.write(`from ${n}`)), `from ${n}`)
  }
}

test('a record stays small however long both sides talk', async () => {
  await roundTrips(20)
  const size = ana.text.length
  await roundTrips(200)
  assert.ok(ana.text.length < size + 50, `${size} and then ${ana.text.length} bytes`)
})

test('the keys of late messages are never dropped', async () => {
  await roundTrips(1)
  const late = []
  for (let n = 0; n < 30; n++) {
    late.push(await ana.write(`late ${n}`))
    await roundTrips(1)
  }
  await roundTrips(20)
  for (const [n, message] of late.entries()) assert.equal(await loja.read(message), `late ${n}`)
  await roundTrips(1)
})

test('a repetition is refused and damages nothing, from a chain that is kept or one that was dropped', async () => {
  const read = []
  for (let n = 0; n < 20; n++) {
    const message = await ana.write(`${n}`)
    assert.equal(await loja.read(message), `${n}`)
    read.push(message)
    await roundTrips(1)
  }
  const onItsWay = await ana.write('on its way')
  const before = loja.text
  for (const message of read) await assert.rejects(loja.read(message))
  assert.equal(loja.text, before)
  assert.equal(await loja.read(onItsWay), 'on its way')
  await roundTrips(3)
})

test('2,000 round trips with losses and reorderings', async () => {
  let seed = 7
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647
  await roundTrips(1)
  const underWay = []
  const deliverOne = async () => {
    const [{ to, message, text }] = underWay.splice(Math.floor(random() * underWay.length), 1)
    assert.equal(await to.read(message), text)
  }
  for (let n = 0; n < 4000; n++) {
    const [from, to] = n % 2 ? [ana, loja] : [loja, ana]
    const message = { to, message: await from.write(`${n}`), text: `${n}` }
    if (random() > 0.02) underWay.push(message)
    while (underWay.length > 6 * random()) await deliverOne()
  }
  while (underWay.length > 0) await deliverOne()
  await roundTrips(1)
  for (const party of [ana, loja]) {
    const spent = party.chains.filter(({ chainKey, messageKeys }) => !chainKey.key && Object.keys(messageKeys).length === 0)
    assert.equal(spent.length, 8)
  }
})

test('what is not a record is given back as it is', () => {
  for (const value of [null, undefined, 'text', {}, { _sessions: {} }]) assert.deepEqual(tidySession(value), value)
})
