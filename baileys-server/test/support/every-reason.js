/**
 * Prints, as JSON, every reason that the disconnect policy gives. For the texts of the orchestrator's dashboard.
 *
 *   node every-reason.js '["banned", ...]'   the codes of failed pairings
 */
import { decideAfterDisconnect } from '../../src/connections/disconnect-policy.js'

/** Whatever makes a difference to what is said. @type {Record<string, unknown[]>} */
const DISCONNECTS = {
  pairingFailure: [null],
  statusCode: [null, 401, 402, 403, 405, 406, 408, 411, 428, 440, 500, 503, 515],
  message: ['', 'Intentional Logout', 'QR refs attempts ended', 'WebSocket Error (The proxy refuses the credentials)'],
  conflictType: [null, 'device_removed'],
  paired: [true, false],
  neverLoggedIn: [true, false],
  pairingRetries: [0, 5],
  pairingMs: [0, 600_000],
  millisecondsSinceRestartRequired: [null, 1000],
  consecutiveUnauthorized: [0, 1],
  leaseHeld: [true, false],
  retriedReplaced: [true, false],
  newerVersion: [true, false],
  banExpiresAt: [null, 2e12],
  attempt: [1],
  now: [0],
  random: [0.5]
}
const one = Object.fromEntries(Object.entries(DISCONNECTS).map(([name, values]) => [name, values.slice(0, 1)]))
const { pairingRetries, newerVersion } = DISCONNECTS
const FAILED_PAIRINGS = { ...one, pairingFailure: JSON.parse(process.argv[2]), pairingRetries, newerVersion }

/** @param {Record<string, unknown[]>} choices @returns {Generator<any>} */
function* combinations(choices, names = Object.keys(choices), chosen = {}) {
  const [name, ...others] = names
  if (name === undefined) yield chosen
  else for (const value of choices[name]) yield* combinations(choices, others, { ...chosen, [name]: value })
}

const reasons = new Set()
for (const choices of [DISCONNECTS, FAILED_PAIRINGS]) {
  for (const disconnect of combinations(choices)) reasons.add(decideAfterDisconnect(disconnect).reason)
}
process.stdout.write(JSON.stringify([...reasons]))
