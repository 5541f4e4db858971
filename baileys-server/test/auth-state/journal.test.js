import assert from 'node:assert/strict'
import { appendFileSync, closeSync, openSync, readFileSync, readdirSync, statSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { afterEach, beforeEach, test } from 'node:test'
import { crc32 } from 'node:zlib'
import { writeOf } from '../../src/auth-state/batch.js'
import { encodeFrame } from '../../src/orchestrator/write-frame.js'
import { JournalFolder } from '../support/journal.js'

const lease = sessionRef => ({ sessionRef, generation: 1, epoch: 3 })
const keyWrite = (id, text) => writeOf({ keys: [['session', id, text]] })
const credsWrite = text => writeOf({ creds: { text, account: { jid: '1@s.whatsapp.net', lid: null } } })
const idsOf = journal => journal.left.flatMap(({ write }) => write.set.map(([, id]) => id))

let folder

beforeEach(() => { folder = new JournalFolder() })
afterEach(() => folder.remove())

const partOf = (journal, sessionRef = 17, onFilling = () => {}) => journal.part(lease(sessionRef), onFilling)

/** Three records, and where each ends. */
async function threeRecords() {
  const journal = folder.open()
  const part = partOf(journal)
  const ends = []
  for (const id of ['a', 'b', 'c']) {
    await part.append(keyWrite(id, `"${id}"`))
    ends.push(journal.bytes)
  }
  return ends
}

test('what was appended is there for the next process, in order and unchanged', async () => {
  const journal = folder.open()
  const part = partOf(journal)
  const write = writeOf({
    creds: { text: '{"c":"ç"}', account: { jid: '1@s.whatsapp.net', lid: '9@lid' } },
    keys: [['session', 'a', '"é"'], ['pre-key', '7', null]], sentMessages: [['m', Buffer.from([0, 255])]], incoming: [['k', '{"text":"olá"}']]
  })
  await part.append(write)
  part.appendSync(credsWrite('c2'), { synced: true })
  const [first, second] = folder.open().left
  assert.deepEqual(first.lease, lease(17))
  assert.deepEqual({ ...first.write, sent_messages: first.write.sent_messages.map(([id, bytes]) => [id, Buffer.from(bytes)]) }, write)
  assert.equal(second.write.creds, 'c2')
})

test('only its owner can read the file', () => {
  folder.open()
  assert.equal(statSync(folder.path).mode & 0o777, 0o700)
  assert.equal(statSync(folder.file).mode & 0o777, 0o600)
})

test('a torn tail is cut off, wherever the last record is torn', async () => {
  const ends = await threeRecords()
  const whole = readFileSync(folder.file)
  for (let length = ends[1] + 1; length < ends[2]; length++) {
    writeFileSync(folder.file, whole.subarray(0, length))
    assert.deepEqual(idsOf(folder.open()), ['a', 'b'], `${length} bytes`)
    assert.equal(statSync(folder.file).size, ends[1])
  }
  assert.ok(folder.logged.every(event => event === 'journal_torn_tail_cut_off'))
  assert.deepEqual(readdirSync(folder.path), ['journal'])
})

test('a last record whose blocks never arrived is a torn tail', async () => {
  const ends = await threeRecords()
  truncateSync(folder.file, ends[1])
  truncateSync(folder.file, ends[2])
  assert.deepEqual(idsOf(folder.open()), ['a', 'b'])
})

test('after a damaged record everything is set aside, and nothing is deleted', async () => {
  const ends = await threeRecords()
  const whole = readFileSync(folder.file)
  const fd = openSync(folder.file, 'r+')
  writeSync(fd, Buffer.of(whole[ends[1] - 1] ^ 1), 0, 1, ends[1] - 1)
  closeSync(fd)
  assert.deepEqual(idsOf(folder.open()), ['a'])
  assert.deepEqual(folder.logged, ['journal_damaged_rest_set_aside'])
  const [aside] = readdirSync(folder.path).filter(name => name.startsWith('journal.damaged-'))
  assert.equal(statSync(`${folder.path}/${aside}`).size, ends[2] - ends[0])
})

test('nonsense behind the records is set aside', async () => {
  await threeRecords()
  appendFileSync(folder.file, Buffer.alloc(100, 0xff))
  assert.deepEqual(idsOf(folder.open()), ['a', 'b', 'c'])
  assert.deepEqual(folder.logged, ['journal_damaged_rest_set_aside'])
})

test('sealed records hide their content, and any of the keys opens them', async () => {
  const [old, newer] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)]
  await partOf(folder.open({ keys: [old] })).append(keyWrite('secret-id', '"secret-text"'))
  for (const word of ['secret', 'session']) assert.ok(!readFileSync(folder.file).includes(word))
  assert.deepEqual(idsOf(folder.open({ keys: [newer, old] })), ['secret-id'])
})

test('records that no key opens are set aside', async () => {
  await partOf(folder.open({ keys: [Buffer.alloc(32, 1)] })).append(keyWrite('a', '"a"'))
  assert.deepEqual(folder.open({ keys: [] }).left, [])
  assert.deepEqual(folder.logged, ['journal_damaged_rest_set_aside'])
})

test('records of a later version are set aside', async () => {
  const journal = folder.open()
  await partOf(journal).append(keyWrite('a', '"a"'))
  const payload = Buffer.concat([Buffer.of(0), Buffer.from(encodeFrame([]))])
  const header = Buffer.alloc(8)
  header.writeUInt32BE(payload.length, 0)
  header.writeUInt32BE(crc32(payload), 4)
  appendFileSync(folder.file, Buffer.concat([header, payload]))
  assert.deepEqual(idsOf(folder.open()), ['a'])
  assert.deepEqual(folder.logged, ['journal_damaged_rest_set_aside'])
})

test('appends that arrive together share a write, and creds don\'t wait for it', async () => {
  const part = partOf(folder.open())
  const appends = ['a', 'b', 'c'].map(id => part.append(keyWrite(id, '"x"')))
  part.appendSync(credsWrite('c1'), { synced: true })
  // The creds are behind a record that is being written; both must be within reach.
  const early = folder.open().left
  assert.deepEqual([early[0].write.set[0][1], early[1].write.creds], ['a', 'c1'])
  await Promise.all(appends)
  assert.deepEqual(folder.open().left.map(({ write }) => write.creds ?? write.set[0][1]), ['a', 'c1', 'b', 'c'])
})

test('creds of several sessions don\'t overwrite one another while a write is under way', async () => {
  const journal = folder.open()
  const part = partOf(journal)
  const append = part.append(keyWrite('a', '"x"'))
  for (const sessionRef of [1, 2, 3]) partOf(journal, sessionRef).appendSync(credsWrite(`c${sessionRef}`), { synced: true })
  await append
  assert.deepEqual(folder.open().left.map(({ write }) => write.creds ?? write.set[0][1]), ['a', 'c1', 'c2', 'c3'])
})

test('creds that were taken stay when keys behind them are refused', async () => {
  const journal = folder.open({ limit: 10_000 })
  const [one, other] = [partOf(journal, 1), partOf(journal, 2)]
  one.attach(() => [keyWrite('a', 'x'.repeat(5000))])
  const taken = one.append(keyWrite('a', 'x'.repeat(5000)))
  const refused = other.append(keyWrite('b', 'x'.repeat(9000)))
  other.attach(() => [credsWrite('c1')])
  other.appendSync(credsWrite('c1'), { synced: true })
  await assert.rejects(refused, { code: 'journal_full' })
  await taken
  await one.settle(false)
  assert.ok(folder.open().left.some(({ write }) => write?.creds === 'c1'))
})

test('a full journal refuses, and takes again when it was emptied', async () => {
  const journal = folder.open({ limit: 10_000 })
  const [one, other] = [partOf(journal, 1), partOf(journal, 2)]
  one.attach(() => [keyWrite('a', 'x'.repeat(9000))])
  await one.append(keyWrite('a', 'x'.repeat(9000)))
  await assert.rejects(other.append(keyWrite('b', 'x'.repeat(2000))), { code: 'journal_full' })
  assert.throws(() => other.appendSync(credsWrite('x'.repeat(2000)), { synced: true }), { code: 'journal_full' })
  await one.settle(false)
  await folder.clock.advance(60_000)
  await other.append(keyWrite('b', 'x'.repeat(2000)))
  await other.settle(false)
  assert.equal(journal.bytes, 0)
})

test('before it refuses it is written anew with the newest of each key', async () => {
  const journal = folder.open({ limit: 10_000 })
  const part = partOf(journal)
  let newest
  part.attach(() => [newest])
  for (let n = 0; n < 50; n++) {
    await folder.clock.advance(60_000)
    newest = keyWrite('a', `"${n}${'x'.repeat(900)}"`)
    await part.append(newest)
  }
  assert.ok(journal.bytes < 10_000)
  assert.ok(folder.logged.includes('journal_compacted'))
  assert.equal(folder.open().left.at(-1).write.set[0][2], newest.set[0][2])
})

test('an alert comes once when half of it is used', async () => {
  const journal = folder.open({ limit: 10_000 })
  const alerts = []
  const part = partOf(journal, 17, filling => alerts.push(filling))
  for (let n = 0; n < 6; n++) await part.append(keyWrite('a', 'x'.repeat(1200)))
  assert.equal(alerts.length, 1)
  assert.ok(alerts[0].bytes >= 5000 && alerts[0].limit === 10_000)
  assert.equal(folder.logged.filter(event => event === 'journal_filling').length, 1)
  await part.settle(false)
  for (let n = 0; n < 6; n++) await part.append(keyWrite('a', 'x'.repeat(1200)))
  assert.equal(alerts.length, 2)
})

test('it is emptied when every session is settled or has ended, and only then', async () => {
  const journal = folder.open()
  const [one, other] = [partOf(journal, 1), partOf(journal, 2)]
  await one.append(keyWrite('a', '"1"'))
  await other.append(keyWrite('b', '"1"'))
  await one.settle(false)
  const left = folder.open().left
  assert.deepEqual(left.map(record => [record.lease.sessionRef, record.write?.set[0][1] ?? null]), [[1, 'a'], [2, 'b'], [1, null]])
  other.release()
  assert.equal(journal.bytes, 0)
})

test('creds that are on their way keep the journal when the keys are settled', async () => {
  const journal = folder.open()
  const part = partOf(journal)
  await part.append(keyWrite('a', '"1"'))
  part.appendSync(credsWrite('c2'), { synced: true })
  await part.settle(true)
  assert.deepEqual(folder.open().left.map(({ write }) => write?.creds ?? null), [null, 'c2', null])
  await part.settle(false)
  await folder.clock.advance(1000)
  assert.equal(journal.bytes, 0)
})

test('when the disk takes nothing an append is refused, and the next is taken when it does again', async t => {
  const { default: fs } = await import('node:fs')
  const journal = folder.open()
  const part = partOf(journal)
  await part.append(keyWrite('a', '"1"'))
  const { bytes } = journal
  const full = openSync('/dev/full', 'w')
  const { write, writeSync: writeNow } = fs
  fs.write = (fd, ...rest) => write(full, ...rest)
  fs.writeSync = (fd, ...rest) => writeNow(full, ...rest)
  t.after(() => Object.assign(fs, { write, writeSync: writeNow }))
  await assert.rejects(part.append(keyWrite('b', '"1"')), { code: 'ENOSPC' })
  assert.throws(() => part.appendSync(credsWrite('c'), { synced: true }), { code: 'ENOSPC' })
  Object.assign(fs, { write, writeSync: writeNow })
  closeSync(full)
  assert.equal(journal.bytes, bytes)
  await part.append(keyWrite('c', '"1"'))
  assert.deepEqual(idsOf(folder.open()), ['a', 'c'])
  assert.deepEqual(folder.logged, ['journal_write_failed', 'journal_writes_again'])
})
