/**
 * What the orchestrator answered when it was not what was asked for. Decide by class or by `code`, never by prose.
 *
 *   OrchestratorError
 *   +-- OrchestratorUnavailable   nothing is known; the call may be repeated. Never pair because of it.
 *   +-- LeaseLost                 another owner runs the session: close the socket, don't reconnect.
 *   +-- AuthStateCorrupt          stored, and can't be opened: stop, a person must look.
 *   +-- RequestRefused            any other 4xx: the same request would be refused again.
 */
export class OrchestratorError extends Error {
  /**
   * @param {string} message
   * @param {{code: string, status?: number, cause?: unknown}} details
   */
  constructor(message, { code, status, cause }) {
    super(message, { cause })
    this.name = new.target.name
    this.code = code
    this.status = status
  }

  /** Whether repeating the same call can't help. */
  get final() {
    return true
  }
}

export class OrchestratorUnavailable extends OrchestratorError {
  get final() {
    return false
  }
}
export class LeaseLost extends OrchestratorError {}
export class AuthStateCorrupt extends OrchestratorError {}
export class RequestRefused extends OrchestratorError {}

/**
 * The error for an answer that is not 200.
 * @param {number} status
 * @param {any} problem the parsed body, if it was JSON
 */
export function errorFromAnswer(status, problem) {
  const code = typeof problem?.code === 'string' ? problem.code : 'unknown'
  const details = { code, status }
  const message = `The orchestrator answered ${status} ${code}.`
  if (code === 'lease_lost') return new LeaseLost('The lease is held by another owner.', details)
  if (code === 'auth_state_corrupt') return new AuthStateCorrupt('The stored auth state cannot be opened.', details)
  if (status >= 400 && status < 500) return new RequestRefused(message, details)
  return new OrchestratorUnavailable(message, details)
}

/**
 * The error for one write of a frame that was answered.
 * @param {string} code
 */
export function errorFromOutcome(code) {
  if (code === 'lease_lost') return errorFromAnswer(409, { code })
  if (code === 'invalid_request') return errorFromAnswer(422, { code })
  return errorFromAnswer(503, { code })
}

/**
 * A 200 whose body isn't what the contract says: nothing can be concluded from it, so it counts as no answer.
 * @param {string} message
 */
export function malformedAnswer(message) {
  return new OrchestratorUnavailable(message, { code: 'malformed_answer', status: 200 })
}
