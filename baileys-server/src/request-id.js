import { AsyncLocalStorage } from 'node:async_hooks'

/**
 * The name of the request that the code runs for, as the orchestrator gave it: in every line that is logged until the
 * request is answered. What a request has started and left behind, such as a connection, is no part of it any more.
 */

const SANE = /^[A-Za-z0-9._:/+=-]{1,128}$/

/** @type {AsyncLocalStorage<{id: string, answered: boolean}>} */
const current = new AsyncLocalStorage()

/**
 * @template T
 * @param {string | undefined} id of the header X-Request-Id
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function forRequest(id, work) {
  if (id === undefined || !SANE.test(id)) return await work()
  const request = { id, answered: false }
  try {
    return await current.run(request, work)
  } finally {
    request.answered = true
  }
}

/** What is logged with every line. */
export function requestFields() {
  const request = current.getStore()
  return request && !request.answered ? { request_id: request.id } : {}
}
