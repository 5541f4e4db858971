import pg from 'pg'
import { fromText, getAll, rowsOf, toText } from './rows.js'

const UPSERT = {
  name: 'upsert',
  text: `INSERT INTO group_keys SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::bytea[])
    ON CONFLICT (session, type, id) DO UPDATE SET value = excluded.value`
}
const DELETE = {
  name: 'delete',
  text: `DELETE FROM group_keys k USING unnest($1::integer[], $2::text[], $3::text[]) AS v (session, type, id)
    WHERE k.session = v.session AND k.type = v.type AND k.id = v.id`
}

/**
 * Group commit written directly in Node, without an orchestrator, a fence or encryption: everything that all sessions
 * write while one commit is under way becomes the next one.
 */
export async function openStore({ database }, workload) {
  const client = new pg.Client({ connectionString: database })
  await client.connect()
  await client.query(`CREATE TABLE IF NOT EXISTS group_keys
    (session integer, type text, id text, value bytea NOT NULL, PRIMARY KEY (session, type, id)) WITH (fillfactor = 90)`)
  const queue = new GroupCommit(client)
  const read = async (number, type, id) => {
    const { rows } = await client.query({
      name: 'select',
      text: 'SELECT value FROM group_keys WHERE session = $1 AND type = $2 AND id = $3',
      values: [number, type, id]
    })
    return rows.length === 0 ? null : rows[0].value.toString()
  }
  return {
    async session(number) {
      return {
        set: set => queue.add(rowsOf(set).map(row => [number, ...row])),
        get: (type, ids) => getAll(type, ids, (_, id) => read(number, type, id)),
        saveCreds: () => queue.add([[number, 'creds', '', toText(workload.creds)]])
      }
    },
    restore: numbers => Promise.all(numbers.map(async number => fromText(await read(number, 'creds', '')))),
    close: () => client.end()
  }
}

class GroupCommit {
  #client
  #rows = new Map()
  #waiters = []
  #running = false

  constructor(client) {
    this.#client = client
  }

  add(rows) {
    for (const row of rows) this.#rows.set(row.slice(0, 3).join('\n'), row)
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject })
      if (!this.#running) this.#run()
    })
  }

  async #run() {
    this.#running = true
    await new Promise(resolve => setImmediate(resolve))
    while (this.#waiters.length > 0) {
      const rows = [...this.#rows.values()]
      const waiters = this.#waiters
      this.#rows = new Map()
      this.#waiters = []
      try {
        await this.#commit(rows)
        for (const { resolve } of waiters) resolve()
      } catch (error) {
        for (const { reject } of waiters) reject(error)
      }
    }
    this.#running = false
  }

  async #commit(rows) {
    const kept = rows.filter(([, , , text]) => text !== null)
    const gone = rows.filter(([, , , text]) => text === null)
    if (gone.length === 0) return this.#client.query({ ...UPSERT, values: columnsOf(kept) })
    await this.#client.query('BEGIN')
    if (kept.length > 0) await this.#client.query({ ...UPSERT, values: columnsOf(kept) })
    await this.#client.query({ ...DELETE, values: columnsOf(gone).slice(0, 3) })
    return this.#client.query('COMMIT')
  }
}

function columnsOf(rows) {
  return [0, 1, 2].map(column => rows.map(row => row[column])).concat([rows.map(row => Buffer.from(row[3] ?? ''))])
}
