import js from '@eslint/js'

const nodeGlobals = Object.fromEntries(
  ['Buffer', 'URL', 'clearInterval', 'clearTimeout', 'clearImmediate', 'console', 'process', 'queueMicrotask',
    'setImmediate', 'setInterval', 'setTimeout', 'AbortController', 'AbortSignal', 'ReadableStream', 'fetch']
    .map(name => [name, 'readonly'])
)

/** An arrow only goes down: main, config, control-api > connections > auth-state | orchestrator. */
const mayNotImport = (/** @type {string[]} */ ...rooms) => ({
  'no-restricted-imports': ['error', {
    patterns: [{ group: rooms.map(room => `**/${room}`), message: 'This import goes up; see the layering in docs.' }]
  }]
})

export default [
  { ignores: ['node_modules/**'] },
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2023, sourceType: 'module', globals: nodeGlobals },
    rules: {
      'no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', ignoreRestSiblings: true }],
      'prefer-const': 'error',
      eqeqeq: ['error', 'always'],
      'no-var': 'error',
      'max-lines-per-function': ['error', { max: 70, skipBlankLines: true, skipComments: true }]
    }
  },
  {
    files: ['src/**'],
    rules: {
      'no-console': 'error',
      'no-restricted-properties': ['error', {
        object: 'process', property: 'env', message: 'Only config.js reads the environment.'
      }]
    }
  },
  { files: ['src/config.js', 'src/main.js'], rules: { 'no-restricted-properties': 'off' } },
  { files: ['src/silence-console.js'], rules: { 'no-console': 'off' } },
  { files: ['src/connections/**'], rules: mayNotImport('main.js', 'config.js', 'control-api.js') },
  { files: ['src/auth-state/**'], rules: mayNotImport('main.js', 'config.js', 'control-api.js', 'connections/*', 'orchestrator/*') },
  { files: ['src/orchestrator/**'], rules: mayNotImport('main.js', 'config.js', 'control-api.js', 'connections/*', 'auth-state/*') },
  { files: ['test/**'], rules: { 'max-lines-per-function': 'off' } }
]
