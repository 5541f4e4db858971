import { decode } from '@msgpack/msgpack'
import { errorFromOutcome, malformedAnswer } from './errors.js'
import { Packer } from './packer.js'

/**
 * Writes as MessagePack: many in a frame for the orchestrator, one in a record of the journal. See "Frames of writes" in
 * docs/internal-api.md.
 *
 * @typedef {{sessionRef: number, generation: number, epoch: number}} Lease
 * @typedef {import('./session-backup.js').AuthStateWrite} AuthStateWrite
 * @typedef {{lease: Lease, write: AuthStateWrite}} LeasedWrite
 */

const VERSION = 1
/** "Committed", a recovery, a write: see `encodeRecord` and `encodeRecovery`. */
const PARTS_OF_RECORDS = [3, 4, 9]

// One for all: nobody is interrupted between the first byte and `taken`.
const packer = new Packer()

/** @param {LeasedWrite[]} writes */
export function encodeFrame(writes) {
  packer.array(2)
  packer.integer(VERSION)
  packer.array(writes.length)
  for (const { lease, write } of writes) packWrite(lease, write)
  return packer.taken()
}

/** @param {Lease} lease @param {AuthStateWrite} write */
function packWrite(lease, write) {
  packer.array(9)
  packLease(lease)
  if (write.creds === null) packer.nil()
  else packer.textAsBinary(write.creds)
  packAccount(write.account)
  packer.array(write.set.length)
  for (const [type, id, text] of write.set) {
    packer.array(3)
    packer.text(type)
    packer.text(id)
    packer.textAsBinary(text)
  }
  packer.array(write.delete.length)
  for (const [type, id] of write.delete) {
    packer.array(2)
    packer.text(type)
    packer.text(id)
  }
  packer.array(write.sent_messages.length)
  for (const [id, message] of write.sent_messages) {
    packer.array(2)
    packer.text(id)
    packer.binary(message)
  }
  packer.array(write.incoming_messages.length)
  for (const [key, text] of write.incoming_messages) {
    packer.array(2)
    packer.text(key)
    packer.textAsBinary(text)
  }
}

/** @param {Lease} lease */
function packLease({ sessionRef, generation, epoch }) {
  packer.integer(sessionRef)
  packer.integer(generation)
  packer.integer(epoch)
}

/** @param {AuthStateWrite['account']} account */
function packAccount(account) {
  if (account === null) return packer.nil()
  packer.array(2)
  packer.text(account.jid)
  if (account.lid === null) packer.nil()
  else packer.text(account.lid)
}

/** About as many as its bytes in a frame; texts are nearly all ASCII. @param {AuthStateWrite} write */
export function sizeOfWrite({ creds, set, delete: deleted, sent_messages: sentMessages, incoming_messages: incomingMessages }) {
  let characters = (creds?.length ?? 0) + 100 * deleted.length
  for (const [, , text] of set) characters += text.length + 100
  for (const [, message] of sentMessages) characters += message.length + 100
  for (const [, text] of incomingMessages) characters += text.length + 100
  return characters
}

/**
 * @param {Uint8Array} answer
 * @param {number} count of the writes in the frame
 * @returns {(import('./errors.js').OrchestratorError | null)[]} null: committed
 */
export function decodeOutcomes(answer, count) {
  const outcomes = decodedOrNull(answer)
  const known = Array.isArray(outcomes) && outcomes.length === count && outcomes.every(isOutcome)
  if (!known) throw malformedAnswer('The answer to a frame of writes does not have one outcome for each.')
  return outcomes.map(outcome => outcome === null ? null : errorFromOutcome(outcome[0]))
}

/**
 * A record of the journal: a write, or null for "all earlier records of this session are committed".
 * @param {Lease} lease
 * @param {AuthStateWrite | null} write
 */
export function encodeRecord(lease, write) {
  if (write) packWrite(lease, write)
  else {
    packer.array(3)
    packLease(lease)
  }
  return packer.taken()
}

/**
 * A record of the journal: the records of this lease are being written under a newer epoch.
 * @param {Lease} lease
 * @param {number} recoveredAs the newer epoch
 */
export function encodeRecovery(lease, recoveredAs) {
  packer.array(4)
  packLease(lease)
  packer.integer(recoveredAs)
  return packer.taken()
}

/**
 * @param {Uint8Array} record
 * @returns {{lease: Lease, write: AuthStateWrite | null, recoveredAs: number | null} | null} null: none of this version
 */
export function decodeRecord(record) {
  const parts = /** @type {any} */ (decodedOrNull(record))
  if (!Array.isArray(parts) || !PARTS_OF_RECORDS.includes(parts.length) || !parts.slice(0, 3).every(Number.isSafeInteger)) return null
  const [sessionRef, generation, epoch, ...rest] = parts
  const lease = { sessionRef, generation, epoch }
  if (rest.length < 2) return { lease, write: null, recoveredAs: rest[0] ?? null }
  return { lease, write: decodedWrite(rest), recoveredAs: null }
}

/**
 * @param {any} parts of a write, after its lease
 * @returns {AuthStateWrite}
 */
function decodedWrite([creds, account, set, deleted, sentMessages, incomingMessages]) {
  const text = (/** @type {Uint8Array} */ bytes) => Buffer.from(bytes).toString()
  return {
    creds: creds && text(creds),
    account: account && { jid: account[0], lid: account[1] },
    set: set.map((/** @type {[string, string, Uint8Array]} */ [type, id, bytes]) => [type, id, text(bytes)]),
    delete: deleted,
    sent_messages: sentMessages,
    incoming_messages: incomingMessages.map((/** @type {[string, Uint8Array]} */ [key, bytes]) => [key, text(bytes)])
  }
}

/** @param {Uint8Array} answer */
function decodedOrNull(answer) {
  try {
    return decode(answer)
  } catch {
    return null
  }
}

/** @param {unknown} outcome */
function isOutcome(outcome) {
  return outcome === null || (Array.isArray(outcome) && typeof outcome[0] === 'string')
}
