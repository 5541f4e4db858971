import pg from 'pg'
import { fromText, getAll, rowsOf, toText } from './rows.js'

const UPSERT = {
  name: 'upsert',
  text: `INSERT INTO upsert_keys VALUES ($1, $2, $3, $4)
    ON CONFLICT (session, type, id) DO UPDATE SET value = excluded.value`
}
const DELETE = { name: 'delete', text: 'DELETE FROM upsert_keys WHERE session = $1 AND type = $2 AND id = $3' }
const SELECT = { name: 'select', text: 'SELECT value FROM upsert_keys WHERE session = $1 AND type = $2 AND id = $3' }

/** One prepared upsert and one commit for each key, as whatsmeow's SQL store does it. */
export async function openStore({ database, connections }, workload) {
  const pool = new pg.Pool({ connectionString: database, max: connections })
  await pool.query(`CREATE TABLE IF NOT EXISTS upsert_keys
    (session integer, type text, id text, value bytea NOT NULL, PRIMARY KEY (session, type, id)) WITH (fillfactor = 90)`)
  const write = (number, [type, id, text]) => text === null
    ? pool.query({ ...DELETE, values: [number, type, id] })
    : pool.query({ ...UPSERT, values: [number, type, id, Buffer.from(text)] })
  const read = async (number, type, id) => {
    const { rows } = await pool.query({ ...SELECT, values: [number, type, id] })
    return rows.length === 0 ? null : rows[0].value.toString()
  }
  return {
    async session(number) {
      return {
        async set(set) { await Promise.all(rowsOf(set).map(row => write(number, row))) },
        get: (type, ids) => getAll(type, ids, (_, id) => read(number, type, id)),
        async saveCreds() { await write(number, ['creds', '', toText(workload.creds)]) }
      }
    },
    restore: numbers => Promise.all(numbers.map(async number => fromText(await read(number, 'creds', '')))),
    close: () => pool.end()
  }
}
