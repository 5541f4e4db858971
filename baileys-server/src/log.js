import pino from 'pino'
import { Redaction } from './redaction.js'
import { requestFields } from './request-id.js'

/** @typedef {import('pino').Logger} Logger */

/**
 * JSON lines on stdout: an event name and fields. Callers pass only what may be read by anybody who reads logs; what looks
 * like a secret all the same is hidden in the finished line.
 * @param {string} level
 * @param {readonly string[]} [secrets] hidden wherever they are
 * @param {import('pino').DestinationStream} [output]
 * @returns {Logger}
 */
export function createLog(level, secrets = [], output = pino.destination(1)) {
  const redaction = new Redaction(secrets)
  return pino({
    level,
    base: undefined,
    messageKey: 'event',
    timestamp: pino.stdTimeFunctions.isoTime,
    mixin: requestFields,
    hooks: { streamWrite: line => redaction.line(line) }
  }, output)
}

/**
 * Hides all but the last four digits of every phone number or JID in a text.
 * @param {string | null | undefined} text
 */
export function masked(text) {
  return text?.replace(/\d{6,}/g, digits => `***${digits.slice(-4)}`) ?? null
}

/**
 * What may be logged of an error: libraries put stanzas and keys into `data` and into custom fields.
 * @param {any} error
 */
export function safeError(error) {
  const cause = error?.cause?.message
  return {
    error: masked(String(error?.message ?? error).slice(0, 300)),
    ...(error?.code === undefined ? {} : { error_code: String(error.code).slice(0, 60) }),
    ...(cause === undefined ? {} : { cause: masked(String(cause).slice(0, 300)) })
  }
}

/**
 * The logger that Baileys gets. Baileys logs whole nodes, creds and messages as fields, so of a call only its
 * sentence and the error's sentence go through, and below `warn` nothing at all.
 * @param {Logger} log
 * @returns {any} Baileys' ILogger
 */
export function baileysLogger(log) {
  /** @type {(level: 'warn' | 'error') => (fields: any, sentence?: string) => void} */
  const forward = level => (fields, sentence) => {
    const text = typeof fields === 'string' ? fields : sentence
    const error = fields?.err ?? fields?.error ?? fields?.e ?? fields?.uploadError
    log[level]({ library: masked(String(text ?? '').slice(0, 200)), ...(error ? safeError(error) : {}) }, 'baileys')
  }
  const ignore = () => {}
  const logger = { level: 'warn', trace: ignore, debug: ignore, info: ignore, warn: forward('warn'), error: forward('error') }
  return Object.assign(logger, { child: () => logger })
}
