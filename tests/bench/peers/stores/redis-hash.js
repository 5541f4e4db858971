import { Redis } from 'ioredis'
import { fromText, getAll, rowsOf, toText } from './rows.js'

/** Evolution's pattern: a Redis hash for each session, one HSET for each key. Durable as far as Redis is. */
export async function openStore({ redis }, workload) {
  const client = new Redis(redis)
  return {
    async session(number) {
      const write = ([type, id, text]) => text === null
        ? client.hdel(`s${number}`, `${type}-${id}`)
        : client.hset(`s${number}`, `${type}-${id}`, text)
      return {
        async set(set) { await Promise.all(rowsOf(set).map(write)) },
        get: (type, ids) => getAll(type, ids, (_, id) => client.hget(`s${number}`, `${type}-${id}`)),
        async saveCreds() { await client.hset(`s${number}`, 'creds', toText(workload.creds)) }
      }
    },
    restore: numbers => Promise.all(numbers.map(async number => fromText(await client.hget(`s${number}`, 'creds')))),
    close: () => client.quit()
  }
}
