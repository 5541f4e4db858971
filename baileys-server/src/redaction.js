/**
 * Takes secrets out of log lines: those that this process knows, and whatever looks like one. The same rules as in
 * orchestrator/telemetry/redaction.py; tests/contract/redaction.json holds both to the same cases.
 *
 * The lines are written so that no secret is in them; this is the net below. It errs on the side of hiding: a run of 10 to 15
 * digits is a phone number unless it is part of a longer word.
 */

export const HIDDEN = '[secret]'

/** Fields that hold a secret whatever it looks like. */
const FIELDS = /(^|_)(authorization|cookie|creds|passphrase|password|private_key|qr|pairing_code|secret|secrets|token|tokens)$/i

/** @type {[RegExp, string | ((found: string, ...groups: any[]) => string)][]} */
const RULES = [
  // The user name and password of an address, such as a database's or a proxy's.
  [/(?<=:\/\/)[^/\s@?#]+(?=@)/g, HIDDEN],
  [/\b(password|passwd|secret|token|access_token|api_key|apikey)=[^\s&;'"]+/gi, `$1=${HIDDEN}`],
  [/\b(bearer|basic) +[A-Za-z0-9+/=._~-]{8,}/gi, `$1 ${HIDDEN}`],
  // Telegram: the number of the bot, a colon, 35 characters; also in the paths of its API.
  [/(?<![0-9])\d{6,12}:[A-Za-z0-9_-]{30,}/g, HIDDEN],
  [/\b(APP_USR|TEST)-[A-Za-z0-9-]{16,}/g, HIDDEN],
  // Our own: tokens of tenants, links to the pairing page, and 32 bytes in hexadecimal digits or base64.
  [/\bbo_[A-Za-z0-9_-]{20,}/g, HIDDEN],
  [/(?<=\/pair\/)[A-Za-z0-9_-]{16,}/g, HIDDEN],
  [/(?<![0-9A-Za-z])[0-9a-fA-F]{64}(?![0-9A-Za-z])/g, HIDDEN],
  [/(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])/g, HIDDEN],
  [/(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{43}=(?![A-Za-z0-9+/=])/g, HIDDEN],
  // The account of a jid; its device and its server say nothing of a person.
  [/(\d[\d-]{4,40})(:\d+)?@(s\.whatsapp\.net|lid|g\.us|c\.us|newsletter)\b/g,
    (_, user, device, server) => `***${user.slice(-4)}${device ?? ''}@${server}`],
  [/(?<![0-9A-Za-z_.*-])\+?\d{10,15}(?![0-9A-Za-z_]|\.\d)/g, number => `***${number.slice(-4)}`]
]

/** What every rule needs: most texts haven't it, and most of the time of a line would go into trying each rule on them. */
const SUSPECT = /[@=]|\d{6}|[A-Za-z0-9+/_-]{20}|(bearer|basic) /i

export class Redaction {
  #known

  /** @param {readonly string[]} secrets hidden wherever they are, also in the middle of a word */
  constructor(secrets = []) {
    this.#known = secrets.filter(secret => secret.length >= 8).sort((one, other) => other.length - one.length)
  }

  /** A whole line of the log, with its fields, its bindings and its errors. @param {string} line */
  line(line) {
    return `${JSON.stringify(this.value(JSON.parse(line)))}\n`
  }

  /** @param {string} text */
  text(text) {
    for (const secret of this.#known) text = text.replaceAll(secret, HIDDEN)
    if (!SUSPECT.test(text)) return text
    for (const [pattern, replacement] of RULES) text = text.replace(pattern, /** @type {any} */ (replacement))
    return text
  }

  /** What JSON has, without secrets. @param {any} value @returns {any} */
  value(value) {
    if (typeof value === 'string') return this.text(value)
    if (value === null || typeof value !== 'object') return value
    if (Array.isArray(value)) return value.map(inner => this.value(inner))
    // A Buffer, or another array of bytes, as JSON has it.
    if (value.type === 'Buffer' || '0' in value) return HIDDEN
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [this.text(key), this.#field(key, inner)]))
  }

  /** @param {string} key @param {any} value */
  #field(key, value) {
    return value !== null && typeof value !== 'boolean' && FIELDS.test(key) ? HIDDEN : this.value(value)
  }
}
