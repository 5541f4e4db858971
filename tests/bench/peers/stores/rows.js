import { BufferJSON } from 'baileys'

/** For the stores that are written here: an auth state as rows of text. */

export const toText = value => JSON.stringify(value, BufferJSON.replacer)
export const fromText = text => JSON.parse(text, BufferJSON.reviver)

/** The rows of one `keys.set`: [type, id, text], null deletes. */
export function rowsOf(set) {
  return Object.entries(set).flatMap(([type, values]) => {
    return Object.entries(values).map(([id, value]) => [type, id, value === null ? null : toText(value)])
  })
}

/** A `get` of Baileys over a function that reads one row. */
export async function getAll(type, ids, readRow) {
  const texts = await Promise.all(ids.map(id => readRow(type, id)))
  const found = ids.flatMap((id, n) => (texts[n] === null ? [] : [[id, fromText(texts[n])]]))
  return Object.fromEntries(found)
}
