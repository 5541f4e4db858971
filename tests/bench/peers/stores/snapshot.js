import pg from 'pg'
import { fromText } from './rows.js'

/** Whole sessions as blobs, one row each, read when all of them start: what a restore of snapshots costs. */
export async function openStore({ database }) {
  const client = new pg.Client({ connectionString: database })
  await client.connect()
  return {
    async restore(numbers) {
      const creds = []
      for (const number of numbers) {
        const { rows } = await client.query({ name: 'select', text: 'SELECT data FROM snapshots WHERE session = $1', values: [number] })
        creds.push(fromText(rows[0].data).creds)
      }
      return creds
    },
    close: () => client.end()
  }
}
