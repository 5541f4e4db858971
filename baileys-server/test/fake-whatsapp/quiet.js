/**
 * Silences `console.*`, imported before anything that loads libsignal.
 *
 * libsignal prints whole Signal sessions, private keys included, through `console.info`, `warn` and `error`. Nothing
 * here talks through the console: the one line for the parent process goes to `process.stdout`, faults to
 * `process.stderr`.
 */
const silent = () => {}

console.log = silent
console.info = silent
console.warn = silent
console.error = silent
console.debug = silent
