/**
 * Must be the first import of main.js: libsignal prints whole session records, private keys included, through
 * `console.*` ("Closing session: ..."), and stdout is a log that people and machines read. Our own log never goes
 * through the console.
 */

for (const method of Object.keys(console)) {
  const member = /** @type {any} */ (console)[method]
  if (typeof member === 'function' && method !== 'Console') {
    /** @type {any} */ (console)[method] = () => {}
  }
}
