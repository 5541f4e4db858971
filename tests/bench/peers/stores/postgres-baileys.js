import pg from 'pg'
import postgresBaileys from 'postgres-baileys'

/** postgres-baileys as its README has it, with one pool for all sessions: given a configuration it opens a pool for each. */
export async function openStore({ database, connections }, workload) {
  const pool = new pg.Pool({ connectionString: database, max: connections })
  await pool.query('CREATE TABLE IF NOT EXISTS auth_data (session_key varchar(255) PRIMARY KEY, data text NOT NULL)')
  const open = number => postgresBaileys.usePostgreSQLAuthState(pool, `s${number}`)
  return {
    async session(number) {
      const { state, saveCreds } = await open(number)
      Object.assign(state.creds, workload.creds)
      return { ...state.keys, saveCreds }
    },
    restore: numbers => Promise.all(numbers.map(async number => (await open(number)).state.creds)),
    close: () => pool.end()
  }
}
