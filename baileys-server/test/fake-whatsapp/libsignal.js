/** The parts of libsignal that a simulated device needs; its published types leave most of them out. */
import './quiet.js'
import libsignal from 'libsignal'
import protobufs from 'libsignal/src/protobufs.js'

const untyped = /** @type {any} */ (libsignal)

export const { curve, keyhelper, ProtocolAddress, SessionBuilder, SessionCipher, SessionRecord } = untyped
export const { PreKeyWhisperMessage, WhisperMessage } = /** @type {any} */ (protobufs)

/** @typedef {{id: string, deviceId: number, toString(): string}} Address */
