import { DEFAULT_CONNECTION_CONFIG, isLidUser, isPnUser, jidDecode } from '@whiskeysockets/baileys'
import { tidySenderKey } from './tidy-sender-key.js'
import { tidySession } from './tidy-session.js'
import { withoutDamage } from './undamaged-sessions.js'

/**
 * Baileys' Signal repository, made safe for a store that somebody relies on after a crash. Four facts of Baileys
 * 7.0.0-rc14 and libsignal 6.0.0 make that necessary; each costs a message number that is used twice (the receiver
 * shows "Waiting for this message") or a lost ratchet step, and none needs a crash to happen except the third:
 *
 * 1. Baileys isolates what a transaction has written until it commits, but a send (transaction "me") and a receive
 *    (transaction "sender") of one contact run at the same time on the same Signal session record: the second reads the
 *    old record, and the later commit overwrites the newer ratchet.
 * 2. libsignal serializes load-modify-store by *address*, but a send goes by the phone number's address and a receive
 *    by the LID's, and both end in one record (the LID's). Its queue also runs a waiting job in the async context of
 *    the job before it, so Baileys puts the job's writes into that one's transaction, which may be over.
 * 3. A send writes its stanza to the socket inside its transaction, before the commit: killed in between, the next
 *    process numbers its message like the one that the receiver already has.
 * 4. libsignal's queue is one for the whole process, by address: a job of one account that waits for the store holds up
 *    the same contact's messages of all others. And Baileys calls a session that could not be read "no session", so
 *    libsignal would write a record without the sessions that it has.
 *
 * The remedy, from outside: ratchet records don't take part in transactions. They are written to our key store at once,
 * where every reader sees them, and become durable in their order. One lock per contact (and per group sender) makes
 * load-modify-store of a record atomic. And no ciphertext is handed out before everything taken until then is
 * durable, so that a crash can skip a message number (Signal doesn't mind) but never use one twice. Parallel
 * encryptions of one send share one write, and the transaction's commit finds nothing left to do. The session record is
 * read before libsignal's queue is entered: a failed read rejects, and a slow one waits outside.
 *
 * Deadlocks: a transaction is always entered before a lock (a send holds its transaction while it encrypts), and what
 * runs under a lock waits for no other lock or transaction.
 */

/** @type {Record<string, (value: unknown) => any>} records that grow without end unless somebody looks after them */
const TIDY = { session: tidySession, 'sender-key': tidySenderKey }

/** Identity keys are written together with the deletion of the session record that they make worthless. */
const RATCHET_TYPES = ['session', 'sender-key', 'identity-key']

/**
 * For makeWASocket's option `makeSignalRepository`.
 * @param {import('./key-store.js').KeyStore} keyStore the one behind `auth.keys`
 * @param {import('./decrypted-messages.js').DecryptedMessages} decrypted
 * @param {import('@whiskeysockets/baileys').SocketConfig['makeSignalRepository']} [makeRepository]
 * @returns {import('@whiskeysockets/baileys').SocketConfig['makeSignalRepository']}
 */
export function makeRatchetSafeSignalRepository(keyStore, decrypted, makeRepository = DEFAULT_CONNECTION_CONFIG.makeSignalRepository) {
  const locks = new Locks()
  return (auth, logger, pnToLIDFunc) => {
    const keys = /** @type {import('@whiskeysockets/baileys').SignalKeyStoreWithTransaction} */ (auth.keys)
    const inner = makeRepository({ creds: auth.creds, keys: bypassTransactions(keys, keyStore) }, logger, pnToLIDFunc)
    return { ...inner, ...guarded(inner, { keys, keyStore, decrypted, locks }) }
  }
}

/**
 * @param {import('@whiskeysockets/baileys').SignalKeyStoreWithTransaction} keys
 * @param {import('./key-store.js').KeyStore} keyStore
 * @returns {import('@whiskeysockets/baileys').SignalKeyStoreWithTransaction}
 */
function bypassTransactions(keys, keyStore) {
  return {
    ...keys,
    get: (type, ids) => RATCHET_TYPES.includes(type) ? keyStore.get(type, ids) : keys.get(type, ids),
    async set(data) {
      const entries = Object.entries(data)
      const ratchets = Object.fromEntries(entries.filter(([type]) => RATCHET_TYPES.includes(type)).map(tidied))
      const others = Object.fromEntries(entries.filter(([type]) => !RATCHET_TYPES.includes(type)))
      keyStore.stage(ratchets)
      if (Object.keys(others).length > 0) await keys.set(others)
    }
  }
}

/**
 * @param {[type: string, values: Record<string, unknown>]} entry
 * @returns {[type: string, values: Record<string, unknown>]}
 */
function tidied([type, values]) {
  const tidy = TIDY[type]
  return [type, tidy ? Object.fromEntries(Object.entries(values).map(([id, value]) => [id, tidy(value)])) : values]
}

/**
 * @param {import('@whiskeysockets/baileys').SignalRepositoryWithLIDStore} inner
 * @param {{keys: import('@whiskeysockets/baileys').SignalKeyStoreWithTransaction, keyStore: import('./key-store.js').KeyStore,
 *   decrypted: import('./decrypted-messages.js').DecryptedMessages, locks: Locks}} parts
 * @returns {Partial<import('@whiskeysockets/baileys').SignalRepositoryWithLIDStore>}
 */
function guarded(inner, { keys, keyStore, decrypted, locks }) {
  const contact = contactNames(inner, keys)

  /** @type {<T>(jid: string, work: () => Promise<T>) => Promise<T>} */
  const onContact = (jid, work) => keys.transaction(async () => {
    const name = await contact(jid)
    return locks.run([name], async () => {
      await keyStore.get('session', addressesOf(inner, jid, name))
      return work()
    })
  }, jid)

  /** @type {<T>(group: string, author: string, work: () => Promise<T>) => Promise<T>} */
  const onSenderKey = (group, author, work) => keys.transaction(() => locks.run([`${group} ${author}`], work), group)

  /** @type {<T>(work: Promise<T>) => Promise<T>} */
  const thenDurable = async work => {
    const { lostWrites } = keyStore
    const result = await work
    await keyStore.durable(lostWrites)
    return result
  }

  /** @param {Parameters<typeof inner.decryptMessage>[0]} message */
  const decryptUndamaged = async message => {
    const id = inner.jidToSignalProtocolAddress(message.jid)
    const { [id]: before } = await keyStore.get('session', [id])
    const plaintext = await inner.decryptMessage(message)
    const { [id]: after } = await keyStore.get('session', [id])
    const repaired = withoutDamage(TIDY.session(before), after)
    if (repaired) keyStore.stage({ session: { [id]: repaired } })
    return plaintext
  }

  return {
    encryptMessage: message => thenDurable(onContact(message.jid, () => inner.encryptMessage(message))),
    decryptMessage: message => thenDurable(onContact(message.jid,
      () => decrypted.decryptOnce(inner, message.ciphertext, () => decryptUndamaged(message)))),
    // Not awaited: the first encryption with the new session waits for it.
    injectE2ESession: bundle => onContact(bundle.jid, () => inner.injectE2ESession(bundle)),
    encryptGroupMessage: message => thenDurable(onSenderKey(message.group, message.meId, () => inner.encryptGroupMessage(message))),
    decryptGroupMessage: message => thenDurable(onSenderKey(message.group, message.authorJid,
      () => decrypted.decryptOnce(inner, message.msg, () => inner.decryptGroupMessage(message)))),
    getSenderKeyDistributionMessage: sender => thenDurable(
      onSenderKey(sender.group, sender.meId, () => inner.getSenderKeyDistributionMessage(sender))),
    processSenderKeyDistributionMessage: message => thenDurable(
      onSenderKey(message.item.groupId ?? '', message.authorJid, () => inner.processSenderKeyDistributionMessage(message))),
    deleteSession: jids => thenDurable(inner.deleteSession(jids)),
    async migrateSession(fromJid, toJid) {
      const users = [jidDecode(fromJid)?.user ?? fromJid, jidDecode(toJid)?.user ?? toJid]
      return thenDurable(locks.run(users, () => inner.migrateSession(fromJid, toJid)))
    }
  }
}

/**
 * One name for a contact whichever of its two addresses is used: the LID's user once a mapping is known. Doesn't ask
 * WhatsApp: a lock must not wait for the network.
 * @param {import('@whiskeysockets/baileys').SignalRepositoryWithLIDStore} repository
 * @param {import('@whiskeysockets/baileys').SignalKeyStoreWithTransaction} keys
 */
function contactNames(repository, keys) {
  return async (/** @type {string} */ jid) => {
    const user = jidDecode(jid)?.user ?? jid
    if (isLidUser(jid) || !isPnUser(jid)) return user
    const known = /** @type {any} */ (repository.lidMapping).mappingCache?.get(`pn:${user}`)
    if (known) return String(known)
    const stored = await keys.get('lid-mapping', [user])
    return String(stored[user] ?? user)
  }
}

/**
 * Where a contact's session record may be: under the LID's address once a number is mapped.
 * @param {import('@whiskeysockets/baileys').SignalRepositoryWithLIDStore} repository
 * @param {string} jid
 * @param {string} name of the contact, as contactNames says
 */
function addressesOf(repository, jid, name) {
  const own = repository.jidToSignalProtocolAddress(jid)
  const { user, device = 0 } = jidDecode(jid) ?? {}
  if (!user || name === user) return [own]
  const lid = `${name}${device ? `:${device}` : ''}@${device === 99 ? 'hosted.lid' : 'lid'}`
  return [own, repository.jidToSignalProtocolAddress(lid)]
}

/** Runs what needs the same name one after the other. */
class Locks {
  /** @type {Map<string, Promise<unknown>>} the last in each line */
  #lines = new Map()

  /**
   * @template T
   * @param {string[]} names
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  run(names, work) {
    const lines = [...new Set(names)]
    // All lines are joined in one step, so that two who need the same two names can't wait for each other.
    const ahead = lines.map(name => this.#lines.get(name))
    const done = Promise.all(ahead).then(work)
    const settled = done.then(() => {}, () => {})
    for (const name of lines) this.#lines.set(name, settled)
    settled.then(() => {
      for (const name of lines) if (this.#lines.get(name) === settled) this.#lines.delete(name)
    })
    return done
  }
}
