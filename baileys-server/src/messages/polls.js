import { createHash } from 'node:crypto'
import { decryptPollVote, getContentType, isJidGroup, jidNormalizedUser, normalizeMessageContent } from '@whiskeysockets/baileys'

/**
 * Polls whose votes can be read: a vote is sealed with a secret that came with the poll. They are stored beside the other
 * keys, because a poll lives longer than a process; the last ones are enough.
 *
 * @typedef {import('@whiskeysockets/baileys').proto.IMessage} Content
 * @typedef {{count: number, id: string, secret: Uint8Array, options: string[], creators: string[]}} Poll creators: one author's addresses
 */

export const POLL = 'poll'
const KEPT_POLLS = 128
const POLL_FIELDS = ['pollCreationMessage', 'pollCreationMessageV2', 'pollCreationMessageV3']

export class Polls {
  /** @type {Map<string, Poll>} by message id, oldest first */
  #kept = new Map()
  #count = 0

  /** @param {Poll[]} polls as they were stored */
  restore(polls) {
    for (const poll of polls.toSorted((a, b) => a.count - b.count)) {
      this.#kept.set(poll.id, poll)
      this.#count = Math.max(this.#count, poll.count + 1)
    }
  }

  /**
   * @param {string} id of the message
   * @param {Content | null | undefined} message
   * @param {(string | null | undefined)[]} authors the addresses of who made it
   * @returns {import('../auth-state/key-store.js').KeysByType} to be stored; empty when it is no poll
   */
  keep(id, message, authors) {
    const content = normalizeMessageContent(message)
    const type = content && getContentType(content)
    const secret = content?.messageContextInfo?.messageSecret
    if (!type || !POLL_FIELDS.includes(type) || !secret?.length || this.#kept.has(id)) return {}
    const options = (/** @type {any} */ (content)[type].options ?? []).map((/** @type {any} */ { optionName }) => optionName ?? '')
    const creators = authors.flatMap(jid => jid ? [jidNormalizedUser(jid)] : [])
    const poll = { count: this.#count++, id, secret: Buffer.from(secret), options, creators }
    this.#kept.set(id, poll)
    if (this.#kept.size > KEPT_POLLS) this.#kept.delete(/** @type {string} */ (this.#kept.keys().next().value))
    return { [POLL]: { [poll.count % KEPT_POLLS]: poll } }
  }

  /**
   * @param {Content | null | undefined} message
   * @param {(string | null | undefined)[]} voters the addresses of who voted
   * @returns {string[] | null} the options chosen; null when the poll, or its secret, isn't known
   */
  choice(message, voters) {
    const { pollCreationMessageKey: key, vote } = normalizeMessageContent(message)?.pollUpdateMessage ?? {}
    const poll = key?.id ? this.#kept.get(key.id) : undefined
    if (!poll || !vote?.encPayload || !vote.encIv) return null
    // Which of their two addresses either of them used isn't said; a wrong one doesn't open it.
    for (const pollCreatorJid of poll.creators) {
      for (const voter of voters) {
        if (!voter) continue
        const names = { pollCreatorJid, pollMsgId: poll.id, pollEncKey: poll.secret, voterJid: jidNormalizedUser(voter) }
        const opened = openedVote(/** @type {any} */ (vote), names)
        if (opened) return namesOf(opened, poll.options)
      }
    }
    return null
  }
}

/**
 * @param {any} vote
 * @param {Parameters<typeof decryptPollVote>[1]} names
 * @returns {Uint8Array[] | null}
 */
function openedVote(vote, names) {
  try {
    return decryptPollVote(vote, names).selectedOptions ?? []
  } catch {
    return null
  }
}

/** @param {Uint8Array[]} hashes @param {string[]} options */
function namesOf(hashes, options) {
  const chosen = hashes.map(hash => Buffer.from(hash).toString('hex'))
  return options.filter(option => chosen.includes(createHash('sha256').update(option).digest('hex')))
}

/** The addresses of who wrote a message. @param {import('@whiskeysockets/baileys').WAMessageKey} key @param {{id?: string, lid?: string} | undefined} me */
export function authorsOf(key, me) {
  if (key.fromMe) return [me?.id, me?.lid]
  return isJidGroup(key.remoteJid ?? '') ? [key.participant, key.participantAlt] : [key.remoteJid, key.remoteJidAlt]
}
