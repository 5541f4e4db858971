import { Encoder, decode } from '@msgpack/msgpack'
import { errorFromOutcome, malformedAnswer } from './errors.js'

/**
 * Writes as MessagePack: many in a frame for the orchestrator, one in a record of the journal. See "Frames of writes" in
 * docs/internal-api.md.
 *
 * @typedef {{sessionRef: number, generation: number, epoch: number}} Lease
 * @typedef {import('./session-backup.js').AuthStateWrite} AuthStateWrite
 * @typedef {[sessionRef: number, generation: number, epoch: number, creds: Uint8Array | null,
 *   account: [jid: string, lid: string | null] | null, set: [string, string, Uint8Array][], deleted: [string, string][],
 *   sentMessages: [string, Uint8Array][], incomingMessages: [string, Uint8Array][]]} WireWrite
 */

const VERSION = 1
/** "Committed", a recovery, a write: see `encodeRecord` and `encodeRecovery`. */
const PARTS_OF_RECORDS = [3, 4, 9]

// One for all: a new encoder costs more than most frames.
const encoder = new Encoder()

/** @param {WireWrite[]} writes */
export function encodeFrame(writes) {
  return encoder.encode([VERSION, writes])
}

/**
 * @param {Lease} lease
 * @param {AuthStateWrite} write
 * @returns {WireWrite}
 */
export function wireWrite({ sessionRef, generation, epoch }, write) {
  return [
    sessionRef, generation, epoch,
    write.creds === null ? null : Buffer.from(write.creds),
    write.account && [write.account.jid, write.account.lid],
    write.set.map(([type, id, text]) => [type, id, Buffer.from(text)]),
    write.delete,
    write.sent_messages,
    write.incoming_messages.map(([key, text]) => [key, Buffer.from(text)])
  ]
}

/** The bytes of all values. @param {WireWrite} write */
export function sizeOfWrite([, , , creds, , set, deleted, sentMessages, incomingMessages]) {
  let bytes = (creds?.length ?? 0) + 100 * deleted.length
  for (const [, , value] of set) bytes += value.length + 100
  for (const [, value] of sentMessages) bytes += value.length + 100
  for (const [, value] of incomingMessages) bytes += value.length + 100
  return bytes
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
  return encoder.encode(write ? wireWrite(lease, write) : [lease.sessionRef, lease.generation, lease.epoch])
}

/**
 * A record of the journal: the records of this lease are being written under a newer epoch.
 * @param {Lease} lease
 * @param {number} recoveredAs the newer epoch
 */
export function encodeRecovery({ sessionRef, generation, epoch }, recoveredAs) {
  return encoder.encode([sessionRef, generation, epoch, recoveredAs])
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
 * @param {any} parts of a WireWrite, after its lease
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
