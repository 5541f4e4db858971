import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Client, get, linked, post, until } from './client.js'
import { startFakeWhatsApp } from './server.js'

/** @type {import('./server.js').FakeWhatsApp} */
let server
/** @type {Client} */
let client
const phone = '5511910000001'

before(async () => {
  server = await startFakeWhatsApp({ undecryptableAfterMs: 2000 })
  client = await linked(server, phone)
})
after(async () => {
  await client.end()
  await server.close()
})

async function idle(timeoutMs = 10_000) {
  const answer = await get(server, `/idle?timeout_ms=${timeoutMs}`)
  assert.equal(answer.idle, true, JSON.stringify(answer))
}

/** @param {string} text */
async function outgoing(text) {
  const { messages } = await get(server, '/messages?direction=out')
  return messages.filter((/** @type {any} */ each) => each.text === text)
}

/** @param {string} id */
async function incoming(id) {
  const { messages } = await get(server, '/messages?direction=in')
  return messages.find((/** @type {any} */ each) => each.id === id)
}

for (const addressing of ['pn', 'lid']) {
  test(`a contact that writes from its ${addressing} and the companion read each other`, async () => {
    const contact = await post(server, '/contacts', { addressing })
    for (let round = 1; round <= 3; round++) {
      const { id } = await post(server, '/send', { from: contact.jid, to: phone, text: `ping ${addressing} ${round}` })
      const message = await until(() => client.received(`ping ${addressing} ${round}`), 'ping')
      assert.equal(message.key.id, id)
      await client.send(message.key.remoteJid, `pong ${addressing} ${round}`)
    }
    await idle()
    for (let round = 1; round <= 3; round++) {
      const [message] = await outgoing(`pong ${addressing} ${round}`)
      assert.equal(message.status, 'decrypted')
      assert.equal(message.to, contact.jid)
    }
    const { own_phone } = await get(server, '/counts')
    assert.equal(own_phone.decrypted, own_phone.received)
  })

  test(`a group with ${addressing} addressing is read both ways by every member`, async () => {
    const members = [await post(server, '/contacts'), await post(server, '/contacts')]
    const jids = members.map(member => member.jid)
    const group = await post(server, '/groups', { subject: 'Friends', members: [phone, ...jids], addressing })
    for (let round = 1; round <= 2; round++) {
      await client.send(group.jid, `to all ${addressing} ${round}`)
      for (const from of jids) {
        const text = `${from} to all ${addressing} ${round}`
        await post(server, '/send', { from, group: group.jid, text })
        const message = await until(() => client.received(text), text)
        assert.equal(message.key.remoteJid, group.jid)
      }
    }
    await idle()
    for (let round = 1; round <= 2; round++) {
      const copies = await outgoing(`to all ${addressing} ${round}`)
      assert.deepEqual(copies.map((/** @type {any} */ copy) => [copy.to, copy.status]).sort(), jids.map(jid => [jid, 'decrypted']).sort())
    }
    assert.equal((await client.socket.groupMetadata(group.jid)).participants.length, 3)
  })
}

test('what waits while the companion is away is delivered at its next login, in order', async () => {
  const contact = await post(server, '/contacts')
  await client.end()
  const texts = ['waits 1', 'waits 2', 'waits 3']
  for (const text of texts) await post(server, '/send', { from: contact.jid, to: phone, text })
  client = new Client(server, client.auth)
  await client.opened()
  await idle()
  await until(() => client.received('waits 3'), 'waits 3')
  const got = client.messages.map(({ message }) => message?.conversation).filter(text => texts.includes(text))
  assert.deepEqual(got, texts)
})

test('a message without its receipt is delivered again after the next login', async () => {
  const contact = await post(server, '/contacts')
  await post(server, '/failures', { phone, kind: 'drop_receipts', times: 1 })
  const { id } = await post(server, '/send', { from: contact.jid, to: phone, text: 'receipt lost' })
  await until(() => client.received('receipt lost'), 'receipt lost')
  assert.equal((await incoming(id)).status, 'sent')
  await client.end()
  client = new Client(server, client.auth)
  await client.opened()
  await idle()
  // Read already: Baileys can't decrypt it a second time, and says so with a nack.
  assert.deepEqual([(await incoming(id)).status, (await incoming(id)).nack], ['nacked', '487'])
})

test('a message to the companion that arrives corrupted is asked for again and read under the same id', async () => {
  const contact = await post(server, '/contacts')
  for (const text of ['opening', 'corrupted']) {
    await post(server, '/failures', { phone, kind: 'garble_to_companion', times: 1 })
    const { id } = await post(server, '/send', { from: contact.jid, to: phone, text })
    const message = await until(() => client.received(text), text)
    assert.equal(message.key.id, id)
    await idle()
    assert.deepEqual([(await incoming(id)).status, (await incoming(id)).tries], ['receipted', 2])
  }
})

test('a message from the companion that arrives corrupted is asked for again and read', async () => {
  const contact = await post(server, '/contacts')
  await client.send(contact.jid, 'clean')
  await idle()
  // One for the copy of the own phone, one for the contact's.
  await post(server, '/failures', { phone, kind: 'garble_from_companion', times: 2 })
  await client.send(contact.jid, 'spoiled')
  await idle()
  const [message] = await outgoing('spoiled')
  assert.equal(message.status, 'decrypted')
  assert.ok(message.tries >= 1)
})

for (const direction of ['to', 'from']) {
  test(`a group message ${direction} the companion that arrives corrupted is asked for again and read`, async () => {
    const member = await post(server, '/contacts')
    const group = await post(server, '/groups', { subject: 'Noise', members: [phone, member.jid] })
    const text = `spoiled in a group ${direction}`
    await post(server, '/failures', { phone, kind: `garble_${direction}_companion`, times: 1 })
    if (direction === 'from') await client.send(group.jid, text)
    else await post(server, '/send', { from: member.jid, group: group.jid, text })
    if (direction === 'to') await until(() => client.received(text), text)
    await idle()
  })
}

test('a phone that never gets a readable copy gives up, and the message counts as undecryptable', async () => {
  const contact = await post(server, '/contacts')
  const before = await get(server, '/counts')
  await post(server, '/failures', { phone, kind: 'garble_from_companion', times: null })
  await client.send(contact.jid, 'never readable')
  await idle()
  const cleared = await fetch(`${server.controlUrl}/failures`, { method: 'DELETE' })
  assert.equal(cleared.status, 200)
  const after = await get(server, '/counts')
  assert.equal(after.out.undecryptable - before.out.undecryptable, 1)
  assert.equal(after.undecryptable, after.out.undecryptable)
})

test('two linked accounts talk, each to the phone and the companion of the other', async () => {
  const other = await linked(server, '5511910000002')
  await client.send('5511910000002@s.whatsapp.net', 'from the first')
  await until(() => other.received('from the first'), 'from the first')
  await other.send(`${phone}@s.whatsapp.net`, 'from the second')
  await until(() => client.received('from the second'), 'from the second')
  const group = await post(server, '/groups', { subject: 'Both', members: [phone, '5511910000002'] })
  await client.send(group.jid, 'first in the group')
  await until(() => other.received('first in the group'), 'first in the group')
  await other.send(group.jid, 'second in the group')
  await until(() => client.received('second in the group'), 'second in the group')
  await idle()
  for (const text of ['from the first', 'from the second', 'first in the group', 'second in the group']) {
    const [copy] = await outgoing(text)
    assert.equal(copy.status, 'decrypted', text)
  }
  await other.end()
})

test('a corrupted message between two companions is asked for again and read', async () => {
  const other = await linked(server, '5511910000003')
  await client.send('5511910000003@s.whatsapp.net', 'opens the session')
  await until(() => other.received('opens the session'), 'opens the session')
  await post(server, '/failures', { phone, kind: 'garble_from_companion', times: 3 })
  await client.send('5511910000003@s.whatsapp.net', 'spoiled between companions')
  await until(() => other.received('spoiled between companions'), 'spoiled between companions')
  await idle()
  await other.end()
})

test('what the phone of the account writes reaches its companion, in the chat that it went to', async () => {
  const contact = await post(server, '/contacts')
  const group = await post(server, '/groups', { subject: 'Mine', members: [phone, contact.jid] })
  await post(server, '/send', { from: phone, to: contact.jid, text: 'typed on the phone' })
  await post(server, '/send', { from: phone, group: group.jid, text: 'typed on the phone for all' })
  const direct = await until(() => client.received('typed on the phone'), 'typed on the phone')
  assert.deepEqual([direct.key.fromMe, direct.key.remoteJid], [true, contact.jid])
  const shared = await until(() => client.received('typed on the phone for all'), 'typed on the phone for all')
  assert.deepEqual([shared.key.fromMe, shared.key.remoteJid], [true, group.jid])
  await idle()
})

test('traffic runs by itself until its count is reached', async () => {
  const contacts = [await post(server, '/contacts'), await post(server, '/contacts')].map(({ jid }) => jid)
  const group = await post(server, '/groups', { subject: 'Busy', members: [phone, contacts[0]] })
  await post(server, '/traffic', { phone, contacts, groups: [group.jid], rate_per_second: 100, count: 30, prefix: 'run' })
  await idle()
  const { traffic } = await get(server, '/traffic')
  assert.deepEqual([traffic[0].sent, traffic[0].running], [30, false])
  for (let number = 1; number <= 30; number++) await until(() => client.received(`run ${number}`), `run ${number}`)
})

test('nothing so far broke a rule', async () => {
  const counts = await get(server, '/counts')
  const broken = [counts.message_number_reused, counts.prekey_reused, counts.simultaneous_sockets, counts.handshake_frames_bad]
  assert.deepEqual(broken, [0, 0, 0, 0], JSON.stringify((await get(server, '/violations')).violations))
})
