import { parsedNetwork } from './proxy/address-rules.js'

/**
 * The only reader of the environment. Every malformed value is refused with one sentence, all of them at once.
 *
 * @typedef {object} Config
 * @property {number} sidecarPort
 * @property {string} internalToken
 * @property {string} orchestratorSocket
 * @property {string} whatsappWebUrl
 * @property {boolean} whatsappWebUrlIsDefault
 * @property {Buffer | null} whatsappRootKey
 * @property {number} backupTimeoutMs
 * @property {number} backupRetries retries after the first call
 * @property {number} backupThrottleMs
 * @property {number} backupIntervalMs
 * @property {number} backupInitialDelayMs
 * @property {number} keepAliveMs
 * @property {number} qrMs
 * @property {string | null} journalDir null: no journal
 * @property {string | null} mediaDir where the orchestrator puts files that are to be sent; null: no media
 * @property {number} journalMaxBytes
 * @property {readonly Buffer[]} journalKeys each 32 bytes; the first seals, all of them open
 * @property {string | null} otlpEndpoint where traces go; null: nowhere
 * @property {Record<string, string>} otlpHeaders
 * @property {readonly import('./proxy/address-rules.js').Network[]} outboundAllowedNetworks where a session's proxy may be though it isn't public
 * @property {string} logLevel
 */

const DEFAULT_WEB_URL = 'wss://web.whatsapp.com/ws/chat'
const MIB = 1024 * 1024
const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']

export class InvalidConfig extends Error {
  /** @param {string[]} problems */
  constructor(problems) {
    super(problems.join('\n'))
    this.problems = problems
  }
}

/**
 * @param {Record<string, string | undefined>} env
 * @returns {Readonly<Config>}
 */
export function readConfig(env) {
  /** @type {string[]} */
  const problems = []
  const read = readers(env, problems)
  const whatsappWebUrl = read.webSocketUrl('WHATSAPP_WEB_URL', DEFAULT_WEB_URL)
  const config = {
    sidecarPort: read.integer('SIDECAR_PORT', 3000, 0, 65535),
    internalToken: read.hex('INTERNAL_TOKEN', 16) ?? '',
    orchestratorSocket: read.required('ORCHESTRATOR_SOCKET'),
    whatsappWebUrl,
    whatsappWebUrlIsDefault: whatsappWebUrl === DEFAULT_WEB_URL,
    whatsappRootKey: rootKey(read),
    backupTimeoutMs: read.seconds('BACKUP_TIMEOUT_SECONDS', 10),
    backupRetries: read.integer('BACKUP_ATTEMPTS', 3, 0, 100),
    backupThrottleMs: read.seconds('BACKUP_THROTTLE_SECONDS', 30),
    backupIntervalMs: read.seconds('BACKUP_INTERVAL_SECONDS', 300),
    backupInitialDelayMs: read.seconds('BACKUP_INITIAL_DELAY_SECONDS', 10),
    keepAliveMs: read.seconds('KEEP_ALIVE_SECONDS', 30),
    qrMs: read.seconds('QR_SECONDS', 20),
    journalDir: read.optional('JOURNAL_DIR'),
    mediaDir: read.optional('MEDIA_DIR'),
    journalMaxBytes: read.integer('JOURNAL_MAX_MIB', 256, 1, 1024) * MIB,
    journalKeys: read.keys('JOURNAL_KEYS', 32),
    otlpEndpoint: read.optional('OTEL_EXPORTER_OTLP_ENDPOINT'),
    otlpHeaders: pairsOf(read.optional('OTEL_EXPORTER_OTLP_HEADERS') ?? ''),
    outboundAllowedNetworks: read.networks('OUTBOUND_ALLOWED_NETWORKS'),
    logLevel: read.oneOf('LOG_LEVEL', LOG_LEVELS, 'info')
  }
  if (problems.length > 0) throw new InvalidConfig(problems)
  return Object.freeze(config)
}

/** @param {ReturnType<typeof readers>} read */
function rootKey(read) {
  const hex = read.hex('WHATSAPP_ROOT_KEY', 32, { exactly: true, optional: true })
  return hex ? Buffer.from(hex, 'hex') : null
}

/**
 * @param {Record<string, string | undefined>} env
 * @param {string[]} problems
 */
function readers(env, problems) {
  const value = (/** @type {string} */ name) => env[name]?.trim() || undefined
  return {
    required(/** @type {string} */ name) {
      const text = value(name)
      if (!text) problems.push(`${name} is missing.`)
      return text ?? ''
    },
    optional(/** @type {string} */ name) {
      return value(name) ?? null
    },
    /** Keys in hexadecimal digits, separated by commas. */
    keys(/** @type {string} */ name, /** @type {number} */ bytes) {
      const texts = value(name)?.split(',').map(text => text.trim()) ?? []
      if (!texts.every(text => /^[0-9a-fA-F]+$/.test(text) && text.length === bytes * 2)) {
        problems.push(`${name} must be keys of ${bytes * 2} hexadecimal digits, separated by commas.`)
      }
      return texts.map(text => Buffer.from(text, 'hex'))
    },
    /** Networks such as 10.0.0.0/8 or fd00::/8, separated by commas. */
    networks(/** @type {string} */ name) {
      const networks = value(name)?.split(',').map(text => parsedNetwork(text.trim())) ?? []
      if (networks.includes(null)) problems.push(`${name} must be networks such as 10.0.0.0/8, separated by commas.`)
      return networks.filter(network => network !== null)
    },
    integer(/** @type {string} */ name, /** @type {number} */ fallback, /** @type {number} */ min, /** @type {number} */ max) {
      const text = value(name)
      if (text === undefined) return fallback
      const number = /^\d+$/.test(text) ? Number(text) : NaN
      if (!(number >= min && number <= max)) problems.push(`${name} must be a whole number from ${min} to ${max}.`)
      return number
    },
    /** Milliseconds of a setting that is given in seconds; decimal fractions are allowed. */
    seconds(/** @type {string} */ name, /** @type {number} */ fallback) {
      const text = value(name)
      if (text === undefined) return fallback * 1000
      const number = /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN
      if (!(number > 0 && number <= 86_400)) problems.push(`${name} must be a number of seconds above 0, at most 86400.`)
      return Math.round(number * 1000)
    },
    hex(/** @type {string} */ name, /** @type {number} */ bytes, { exactly = false, optional = false } = {}) {
      const text = value(name)
      if (text === undefined) {
        if (!optional) problems.push(`${name} is missing.`)
        return undefined
      }
      const length = text.length / 2
      const fits = exactly ? length === bytes : length >= bytes
      if (!/^([0-9a-fA-F]{2})+$/.test(text) || !fits) {
        problems.push(`${name} must be ${exactly ? '' : 'at least '}${bytes * 2} hexadecimal digits.`)
      }
      return text
    },
    webSocketUrl(/** @type {string} */ name, /** @type {string} */ fallback) {
      const text = value(name) ?? fallback
      const scheme = URL.canParse(text) ? new URL(text).protocol : ''
      if (scheme !== 'ws:' && scheme !== 'wss:') problems.push(`${name} must be a ws:// or wss:// URL.`)
      return text
    },
    oneOf(/** @type {string} */ name, /** @type {string[]} */ choices, /** @type {string} */ fallback) {
      const text = value(name)?.toLowerCase() ?? fallback
      if (!choices.includes(text)) problems.push(`${name} must be one of ${choices.join(', ')}.`)
      return text
    }
  }
}

/**
 * As the OpenTelemetry specification has them: `name=value` with commas between, percent-encoded.
 * @param {string} text
 * @returns {Record<string, string>}
 */
function pairsOf(text) {
  const pairs = text.split(',').filter(pair => pair.includes('=')).map(pair => /** @type {[string, string]} */ (pair.split(/=(.*)/s, 2)))
  return Object.fromEntries(pairs.map(([name, value]) => [name.trim(), value.trim().replaceAll(/%[0-9A-Fa-f]{2}/g, decodeURIComponent)]))
}
