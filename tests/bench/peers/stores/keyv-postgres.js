import { KeyvPostgres } from '@keyv/postgres'
import baileysStore from '@rodrigogs/baileys-store'
import { Keyv } from 'keyv'

/** @rodrigogs/baileys-store on Keyv with its PostgreSQL adapter; the adapter shares one pool. */
export async function openStore({ database, connections }, workload) {
  const adapter = new KeyvPostgres({ uri: database, max: connections })
  const keyv = new Keyv({ store: adapter })
  const open = number => baileysStore.makeKeyvAuthState(keyv, `s${number}`)
  return {
    async session(number) {
      const { state, saveCreds } = await open(number)
      Object.assign(state.creds, workload.creds)
      return { ...state.keys, saveCreds }
    },
    restore: numbers => Promise.all(numbers.map(async number => (await open(number)).state.creds)),
    close: () => adapter.disconnect()
  }
}
