import { AsyncLocalStorage } from 'node:async_hooks'
import fs from 'node:fs'
import { join } from 'node:path'

/**
 * @typedef {{session_ref: number | null, reason: string}} LastWords
 */

const NAME = 'last-words.json'

/**
 * The session that the code runs for: everything that a connection starts, its sockets' events included, inherits it.
 * @type {AsyncLocalStorage<number>}
 */
export const currentSession = new AsyncLocalStorage()

/**
 * What a process that must end at once leaves for the next: why, and at the work of which session.
 * @param {string} folder
 * @param {string} reason
 */
export function leaveLastWords(folder, reason) {
  const words = { session_ref: currentSession.getStore() ?? null, reason }
  fs.writeFileSync(join(folder, NAME), JSON.stringify(words), { mode: 0o600 })
}

/**
 * What the process before left, once: the file is gone then.
 * @param {string} folder
 * @returns {LastWords | null} null when it ended in order, was killed, or left nothing that makes sense
 */
export function takeLastWords(folder) {
  const path = join(folder, NAME)
  try {
    const { session_ref: sessionRef, reason } = JSON.parse(fs.readFileSync(path, 'utf8'))
    return { session_ref: Number.isSafeInteger(sessionRef) ? sessionRef : null, reason: String(reason).slice(0, 300) }
  } catch {
    return null
  } finally {
    fs.rmSync(path, { force: true })
  }
}
