import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import '../../src/silence-console.js'
import { addTransactionCapability, Curve, DEFAULT_CONNECTION_CONFIG, initAuthCreds, unpadRandomMax16 } from '@whiskeysockets/baileys'
import { DecryptedMessages } from '../../src/auth-state/decrypted-messages.js'
import { decode, encode } from '../../src/auth-state/codec.js'
import { KeyStore } from '../../src/auth-state/key-store.js'
import { WriteQueue } from '../../src/auth-state/write-queue.js'
import { makeRatchetSafeSignalRepository } from '../../src/auth-state/ratchet-safe-signal.js'
import { withoutDamage } from '../../src/auth-state/undamaged-sessions.js'
import { FakeClock, settled } from '../support/clock.js'
import { MemoryStore, failure } from '../support/store.js'
import { until } from '../support/until.js'

/** Real libsignal and Baileys' real transactions on both sides; only the network is missing. */

const nothing = () => {}
const logger = { level: 'silent', trace: nothing, debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => logger }

const LID = { ana: '100000000000001@lid', loja: '100000000000002@lid' }
const PN = { ana: '5511000000001@s.whatsapp.net', loja: '5511000000002@s.whatsapp.net' }
const GROUP = '120363000000000000@g.us'

class Party {
  constructor(name, { store = new MemoryStore(), creds = initAuthCreds(), cacheBytes = undefined, messageIn = () => null } = {}) {
    Object.assign(this, { name, store, creds, messageIn })
    const queue = new WriteQueue({
      clock: new FakeClock(),
      journal: null,
      retries: 0,
      write: request => store.write(request),
      onCommitted: keys => this.keyStore.committed(keys),
      onFailed: keys => this.keyStore.forget(keys),
      onClosed: nothing, onDegraded: nothing, onLost: nothing
    })
    this.keyStore = new KeyStore({ queue, read: (type, ids) => store.read(type, ids), cacheBytes })
    this.connect()
  }

  /** As a new socket on the same auth state. */
  connect() {
    this.keys = addTransactionCapability(this.keyStore, logger, { maxCommitRetries: 1, delayBetweenTriesMs: 0 })
    if (!this.makeRepository) {
      const decrypted = new DecryptedMessages(this.keyStore, this.messageIn)
      decrypted.restore(this.store.loaded.filter(([type]) => type === 'decrypted-message').map(([, , text]) => decode(text)))
      this.makeRepository = makeRatchetSafeSignalRepository(this.keyStore, decrypted)
    }
    this.signal = this.makeRepository({ creds: this.creds, keys: this.keys }, logger, async () => [])
  }

  /** The process is killed: what isn't in the store is gone. */
  killed() {
    const store = new MemoryStore()
    store.keys = new Map(this.store.keys)
    this.store.kill()
    return new Party(this.name, { store, creds: this.creds, messageIn: this.messageIn })
  }

  async bundle(preKeyId) {
    const preKey = Curve.generateKeyPair()
    await this.keyStore.set({ 'pre-key': { [preKeyId]: preKey } })
    const { signedPreKey, signedIdentityKey, registrationId } = this.creds
    const prefixed = key => Buffer.concat([Buffer.from([5]), key])
    return {
      registrationId,
      identityKey: prefixed(signedIdentityKey.public),
      signedPreKey: { keyId: signedPreKey.keyId, publicKey: prefixed(signedPreKey.keyPair.public), signature: signedPreKey.signature },
      preKey: { keyId: preKeyId, publicKey: prefixed(preKey.public) }
    }
  }

  encrypt(to, text) {
    return this.signal.encryptMessage({ jid: to, data: Buffer.from(text) })
  }

  async decrypt(from, message) {
    return Buffer.from(await this.signal.decryptMessage({ jid: from, ...message })).toString()
  }
}

let loja, ana

beforeEach(async () => {
  loja = new Party('loja')
  ana = new Party('ana')
  await loja.signal.injectE2ESession({ jid: LID.ana, session: await ana.bundle(1) })
  assert.equal(await ana.decrypt(LID.loja, await loja.encrypt(LID.ana, 'first')), 'first')
  assert.equal(await loja.decrypt(LID.ana, await ana.encrypt(LID.loja, 'answer')), 'answer')
})

/** A send as relayMessage does it: one transaction named "me" around the encryptions. */
const send = (party, to, texts) => party.keys.transaction(() => Promise.all(texts.map(text => party.encrypt(to, text))), 'me')

/** Ciphertexts of one message number differ in nothing but their content, so the receiver can read only one of them. */
async function allReadable(receiver, from, messages) {
  const texts = []
  for (const message of messages) texts.push(await receiver.decrypt(from, message))
  return texts
}

test('sends and receives of one contact at the same time lose no ratchet step', async () => {
  for (let round = 0; round < 20; round++) {
    const incoming = await Promise.all([1, 2, 3].map(n => ana.encrypt(LID.loja, `in ${round}.${n}`)))
    const [sent, received] = await Promise.all([
      Promise.all([1, 2, 3].map(n => send(loja, LID.ana, [`out ${round}.${n}`]))),
      Promise.all(incoming.map(message => loja.decrypt(LID.ana, message)))
    ])
    assert.deepEqual(received, [1, 2, 3].map(n => `in ${round}.${n}`))
    assert.deepEqual(await allReadable(ana, LID.loja, sent.flat()), [1, 2, 3].map(n => `out ${round}.${n}`))
  }
})

test('a send by phone number and a receive by LID share one record and lose nothing, however slow the store reads', async () => {
  // Too small for anything: every load takes a turn of the event loop, time enough for somebody else to load as well.
  loja = new Party('loja', { store: loja.store, creds: loja.creds, cacheBytes: 200 })
  await loja.signal.lidMapping.storeLIDPNMappings([{ lid: LID.ana, pn: PN.ana }])
  for (let round = 0; round < 20; round++) {
    const incoming = await ana.encrypt(LID.loja, `in ${round}`)
    const sending = settled(round % 5).then(() => Promise.all([send(loja, PN.ana, [`a ${round}`]), send(loja, LID.ana, [`b ${round}`])]))
    const [received, [[sent], [sentToo]]] = await Promise.all([loja.decrypt(LID.ana, incoming), sending])
    assert.equal(received, `in ${round}`)
    assert.deepEqual((await allReadable(ana, LID.loja, [sent, sentToo])).toSorted(), [`a ${round}`, `b ${round}`])
  }
})

test('two accounts in one process that talk to the same contact do not disturb one another', async () => {
  const other = new Party('other')
  await other.signal.injectE2ESession({ jid: LID.ana, session: await ana.bundle(2) })
  const otherLid = '100000000000009@lid'
  for (let round = 0; round < 10; round++) {
    const [fromLoja, fromOther] = await Promise.all([
      Promise.all([1, 2, 3].map(n => send(loja, LID.ana, [`l${n}`]))), Promise.all([1, 2, 3].map(n => send(other, LID.ana, [`o${n}`])))
    ])
    assert.deepEqual(await allReadable(ana, LID.loja, fromLoja.flat()), ['l1', 'l2', 'l3'])
    assert.deepEqual(await allReadable(ana, otherLid, fromOther.flat()), ['o1', 'o2', 'o3'])
  }
})

test('no ciphertext is handed out before its message number is durable', async () => {
  loja.store.open = false
  let handedOut = false
  const sending = send(loja, LID.ana, ['careful']).then(result => { handedOut = true; return result })
  await settled(20)
  assert.equal(handedOut, false)
  assert.equal(loja.store.waiting.length, 1)
  loja.store.open = true
  loja.store.waiting[0].succeed()
  const [message] = await sending
  assert.equal(await ana.decrypt(LID.loja, message), 'careful')
})

test('the parallel encryptions of one send are one write, and its commit is none', async () => {
  const bruno = new Party('bruno')
  const brunoLid = '100000000000003@lid'
  await loja.signal.injectE2ESession({ jid: brunoLid, session: await bruno.bundle(1) })
  await loja.keyStore.durable()
  loja.store.writes.length = 0
  await loja.keys.transaction(() => Promise.all([loja.encrypt(LID.ana, 'a'), loja.encrypt(brunoLid, 'b')]), 'me')
  assert.deepEqual(loja.store.writes.map(write => write.set.map(([type, id]) => `${type} ${id}`)),
    [['session 100000000000001_1.0', 'session 100000000000003_1.0']])
})

test('killed at any moment, the restored state never uses a message number again', async () => {
  for (let round = 0; round < 10; round++) {
    loja.store.open = false
    const left = []
    const sending = [1, 2, 3].map(n => send(loja, LID.ana, [`${round}.${n}`]).then(([message]) => left.push([`${round}.${n}`, message]), nothing))
    await settled(10)
    // Let a different number of writes through each time; the rest never happens.
    for (let through = 0; through < round % 3; through++) {
      loja.store.waiting.shift()?.succeed()
      await settled(10)
    }
    const restored = loja.killed()
    const after = await restored.encrypt(LID.ana, `after ${round}`)
    for (const [text, message] of left) assert.equal(await ana.decrypt(LID.loja, message), text)
    assert.equal(await ana.decrypt(LID.loja, after), `after ${round}`)
    await Promise.all(sending)
    loja = restored
  }
})

test('a send whose write failed sends nothing, and the next one is readable', async () => {
  loja.store.open = false
  const sending = send(loja, LID.ana, ['never leaves'])
  await settled(10)
  loja.store.waiting[0].fail(failure('unreachable'))
  await assert.rejects(sending, { code: 'unreachable' })
  loja.store.open = true
  const [message] = await send(loja, LID.ana, ['leaves'])
  assert.equal(await ana.decrypt(LID.loja, message), 'leaves')
})

test('a send whose write failed before the send had come to its end sends nothing', async () => {
  let goOn = nothing
  const gate = new Promise(resolve => { goOn = resolve })
  const slowly = (...parts) => {
    const inner = DEFAULT_CONNECTION_CONFIG.makeSignalRepository(...parts)
    return { ...inner, encryptMessage: async message => {
      const encrypted = await inner.encryptMessage(message)
      await gate
      return encrypted
    } }
  }
  loja.makeRepository = makeRatchetSafeSignalRepository(loja.keyStore, new DecryptedMessages(loja.keyStore, () => null), slowly)
  loja.connect()
  loja.store.open = false
  const sending = loja.encrypt(LID.ana, 'never leaves')
  await until('its ratchet step is on its way', () => loja.store.waiting.length > 0)
  loja.store.waiting[0].fail(failure('unreachable'))
  await settled()
  goOn()
  await assert.rejects(sending, { code: 'unreachable' })
})

test('a message counts as received only when its ratchet step is durable', async () => {
  const message = await ana.encrypt(LID.loja, 'hello')
  loja.store.open = false
  const receiving = loja.decrypt(LID.ana, message)
  await settled(20)
  loja.store.waiting[0].fail(failure('unreachable'))
  await assert.rejects(receiving, { code: 'unreachable' })
  loja.store.open = true
  assert.equal(await loja.decrypt(LID.ana, message), 'hello')
})

test('a deletion that goes past the repository (a retry without a bundle) is seen by the next send', async () => {
  await loja.keys.set({ session: { '100000000000001_1.0': null } })
  assert.deepEqual(await loja.signal.validateSession(LID.ana), { exists: false, reason: 'no session' })
  await loja.signal.injectE2ESession({ jid: LID.ana, session: await ana.bundle(7) })
  const [message] = await send(loja, LID.ana, ['new session'])
  assert.equal(message.type, 'pkmsg')
  assert.equal(await ana.decrypt(LID.loja, message), 'new session')
})

test('a pre-key that was used is deleted in the same write as the session that it made', async () => {
  await ana.signal.injectE2ESession({ jid: LID.loja, session: await loja.bundle(5) })
  const message = await ana.encrypt(LID.loja, 'with a pre-key')
  loja.store.writes.length = 0
  assert.equal(await loja.decrypt(LID.ana, message), 'with a pre-key')
  assert.equal(loja.store.writes.length, 1)
  assert.deepEqual(loja.store.writes[0].delete.map(([type, id]) => [type, id]), [['pre-key', '5']])
  assert.deepEqual(loja.store.writes[0].set.map(([type]) => type).toSorted(), ['decrypted-message', 'identity-key', 'session'])
})

test('group messages: numbers are durable before they leave and never used twice after a kill', async () => {
  const distribution = async party => {
    const { ciphertext, senderKeyDistributionMessage: key } = await party.signal.encryptGroupMessage({ group: GROUP, meId: LID.loja, data: Buffer.from('x') })
    return { ciphertext, key }
  }
  const first = await distribution(loja)
  await ana.signal.processSenderKeyDistributionMessage({ authorJid: LID.loja,
    item: { groupId: GROUP, axolotlSenderKeyDistributionMessage: first.key } })
  const read = async ({ ciphertext }) => Buffer.from(await ana.signal.decryptGroupMessage({ group: GROUP, authorJid: LID.loja, msg: ciphertext })).toString()
  assert.equal(await read(first), 'x')
  for (let round = 0; round < 5; round++) {
    const sent = await Promise.all([1, 2, 3].map(() => loja.keys.transaction(() => distribution(loja), 'me')))
    loja.store.open = false
    loja.keys.transaction(() => distribution(loja), 'me').catch(nothing)
    await settled(10)
    loja = loja.killed()
    for (const message of [...sent, await distribution(loja)]) assert.equal(await read(message), 'x')
  }
})

test('a message that is delivered again after a kill is read again, once', async () => {
  const message = await ana.encrypt(LID.loja, 'delivered twice')
  assert.equal(await loja.decrypt(LID.ana, message), 'delivered twice')
  await assert.rejects(loja.decrypt(LID.ana, message))
  loja = loja.killed()
  assert.equal(await loja.decrypt(LID.ana, message), 'delivered twice')
  await assert.rejects(loja.decrypt(LID.ana, message))
  for (let n = 0; n < 100; n++) await loja.decrypt(LID.ana, await ana.encrypt(LID.loja, `${n}`))
  assert.equal([...loja.store.keys.keys()].filter(name => name.startsWith('decrypted-message ')).length, 64)
})

test('a message whose receipt was lost with its socket is read again on the next socket, once', async () => {
  const message = await ana.encrypt(LID.loja, 'delivered twice')
  assert.equal(await loja.decrypt(LID.ana, message), 'delivered twice')
  for (let socket = 0; socket < 2; socket++) {
    loja.connect()
    assert.equal(await loja.decrypt(LID.ana, message), 'delivered twice')
    await assert.rejects(loja.decrypt(LID.ana, message))
  }
})

test('a message whose receipt is hundreds of messages late is taken again as an empty one, by the next process too', async () => {
  const decrypted = async n => {
    const message = await ana.encrypt(LID.loja, `${n}`)
    assert.equal(await loja.decrypt(LID.ana, message), `${n}`)
    return message
  }
  const messages = []
  for (let n = 0; n < 64 * 9; n++) messages.push(await decrypted(n))
  await assert.rejects(loja.decrypt(LID.ana, messages[0])) // a replay on the same socket
  for (const next of [() => loja.connect(), () => { loja = loja.killed() }]) {
    next()
    for (const [n, message] of messages.entries()) {
      const text = await loja.decrypt(LID.ana, message)
      assert.equal(text, n < 64 * 8 ? '\x01' : `${n}`)
      if (n < 64 * 8) assert.equal(unpadRandomMax16(Buffer.from(text)).length, 0)
    }
    await assert.rejects(loja.decrypt(LID.ana, messages[0]))
  }
  for (let n = 0; n < 64; n++) await decrypted(n)
  loja = loja.killed()
  await assert.rejects(loja.decrypt(LID.ana, messages[0]))
  assert.equal(await loja.decrypt(LID.ana, messages[64]), '\x01')
})

test('what an earlier version kept is read, and an earlier version reads what is kept now', async () => {
  const message = await ana.encrypt(LID.loja, 'delivered twice')
  await loja.decrypt(LID.ana, message)
  const kept = [...loja.store.keys].filter(([key]) => key.startsWith('decrypted-message ')).map(([key, text]) => ({ key, ...decode(text) }))
  const { key: name, count, digest, plaintext } = kept.find(each => Buffer.from(each.plaintext).toString() === 'delivered twice')
  loja.store.keys.set(name, encode({ count, digest, plaintext }))
  loja = loja.killed()
  assert.equal(await loja.decrypt(LID.ana, message), 'delivered twice')
})

test('group messages are readable in any order, and the own sender key does not grow', async () => {
  const encrypt = text => loja.signal.encryptGroupMessage({ group: GROUP, meId: LID.loja, data: Buffer.from(text) })
  const first = await encrypt('0')
  await ana.signal.processSenderKeyDistributionMessage({ authorJid: LID.loja,
    item: { groupId: GROUP, axolotlSenderKeyDistributionMessage: first.senderKeyDistributionMessage } })
  const size = () => loja.store.keys.get(`sender-key ${GROUP}::100000000000002_1::0`).length
  const sizeOfOne = size()
  const messages = [first]
  for (let n = 1; n < 20; n++) messages.push(await encrypt(String(n)))
  const read = async ({ ciphertext }) => Buffer.from(await ana.signal.decryptGroupMessage({ group: GROUP, authorJid: LID.loja, msg: ciphertext })).toString()
  const order = [5, 19, 0, 18, 3, 1, 2, 4, 10]
  for (const n of order) assert.equal(await read(messages[n]), String(n))
  await assert.rejects(read(messages[19]), /old counter/)
  assert.ok(size() < sizeOfOne + 20)
})

test('a message of the old session does not ruin the new one', async () => {
  const late = await ana.encrypt(LID.loja, 'sent before the new session was known')
  await loja.signal.injectE2ESession({ jid: LID.ana, session: await ana.bundle(8) })
  assert.equal(await loja.decrypt(LID.ana, late), 'sent before the new session was known')
  const [message] = await send(loja, LID.ana, ['in the new session'])
  assert.equal(await ana.decrypt(LID.loja, message), 'in the new session')
  assert.equal(await loja.decrypt(LID.ana, await ana.encrypt(LID.loja, 'and back')), 'and back')
})

test('only sessions that did not decrypt are put back, and nothing when it is not clear which did', () => {
  const session = (used, step) => ({ indexInfo: { used }, step })
  const record = _sessions => ({ version: 'v1', _sessions })
  const before = record({ old: session(1, 'a'), new: session(2, 'a'), other: session(0, 'a') })
  assert.deepEqual(withoutDamage(before, record({ old: session(9, 'b'), new: session(2, 'b'), other: session(0, 'a') })),
    record({ old: session(9, 'b'), new: session(2, 'a'), other: session(0, 'a') }))
  assert.equal(withoutDamage(before, record({ old: session(9, 'b'), new: session(2, 'a'), other: session(0, 'a') })), null)
  assert.equal(withoutDamage(before, record({ old: session(1, 'b'), new: session(2, 'b') })), null)
  assert.equal(withoutDamage(undefined, before), null)
})

test('a stuck read of one account does not hold up another account that writes to the same contact', async () => {
  const other = new Party('other')
  await other.signal.injectE2ESession({ jid: LID.ana, session: await ana.bundle(9) })
  const stuck = new Party('stuck')
  stuck.store.read = () => new Promise(nothing)
  stuck.encrypt(LID.ana, 'x').catch(nothing)
  stuck.signal.injectE2ESession({ jid: LID.ana, session: await ana.bundle(10) }).catch(nothing)
  await settled()
  const sent = other.encrypt(LID.ana, 'y').then(() => 'sent')
  assert.equal(await Promise.race([sent, new Promise(resolve => setTimeout(resolve, 1000, 'held up'))]), 'sent')
})

for (const [what, jid] of [['its LID', LID.ana], ['the number of a known LID', PN.ana]]) {
  test(`a session that cannot be read is not taken for none, by ${what}`, async () => {
    const sent = await loja.encrypt(LID.ana, 'hello')
    assert.equal(await ana.decrypt(LID.loja, sent), 'hello')
    const underWay = await ana.encrypt(LID.loja, 'under way')
    await loja.signal.lidMapping.storeLIDPNMappings([{ lid: LID.ana, pn: PN.ana }])
    loja.keyStore.forget([['session', '100000000000001_1.0', '']])
    loja.store.readError = failure('unreachable')
    await assert.rejects(loja.signal.injectE2ESession({ jid, session: await ana.bundle(11) }), { code: 'unreachable' })
    await assert.rejects(loja.encrypt(jid, 'x'), { code: 'unreachable' })
    loja.store.readError = null
    assert.equal(await loja.decrypt(LID.ana, underWay), 'under way')
  })
}
