import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Journal } from '../../src/auth-state/journal.js'
import { decodeRecord, encodeRecord, encodeRecovery } from '../../src/orchestrator/write-frame.js'
import { FakeClock } from './clock.js'

/** Test equipment: real journals in a folder of their own, and what they log. */
export class JournalFolder {
  path = join(mkdtempSync(join(tmpdir(), 'journal-test-')), 'journal')
  file = join(this.path, 'journal')
  /** @type {string[]} events */
  logged = []
  clock = new FakeClock()
  /** @type {Journal[]} */
  #open = []

  open({ limit = 1024 * 1024, keys = [] } = {}) {
    const add = (/** @type {any} */ _fields, /** @type {string} */ event) => this.logged.push(event)
    const log = /** @type {any} */ ({ info: add, warn: add, error: add })
    const format = { encode: encodeRecord, encodeRecovery, decode: decodeRecord }
    const journal = new Journal({ folder: this.path, limit, keys, format, clock: this.clock, log })
    this.#open.push(journal)
    return journal
  }

  remove() {
    for (const journal of this.#open) journal.close()
    rmSync(join(this.path, '..'), { recursive: true, force: true })
  }
}
