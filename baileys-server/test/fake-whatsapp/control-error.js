/** A request of the control API that can't be done; becomes a JSON answer with its status. */
export class ControlError extends Error {
  /**
   * @param {number} status
   * @param {string} code stable, for programs
   * @param {string} detail for people
   */
  constructor(status, code, detail) {
    super(detail)
    this.status = status
    this.code = code
  }
}
