import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encode } from '@msgpack/msgpack'
import { Packer } from '../../src/orchestrator/packer.js'

/** The bytes that one call writes. */
const packed = write => {
  const packer = new Packer()
  write(packer)
  return packer.taken()
}

test('every length and size is written as @msgpack/msgpack writes it', () => {
  const edges = [0, 1, 15, 16, 31, 32, 127, 128, 255, 256, 65_535, 65_536, 70_000]
  for (const n of [...edges, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
    assert.deepEqual(packed(packer => packer.integer(n)), Buffer.from(encode(n)), `integer ${n}`)
  }
  for (const n of edges) {
    const bytes = Buffer.alloc(n, 7)
    const text = 'x'.repeat(n)
    assert.deepEqual(packed(packer => packer.binary(bytes)), Buffer.from(encode(bytes)), `binary ${n}`)
    assert.deepEqual(packed(packer => packer.text(text)), Buffer.from(encode(text)), `text ${n}`)
    assert.deepEqual(packed(packer => packer.textAsBinary(text)), Buffer.from(encode(Buffer.from(text))), `text as binary ${n}`)
    const empty = packed(packer => { packer.array(n); for (let i = 0; i < n; i++) packer.nil() })
    assert.deepEqual(empty, Buffer.from(encode(Array(n).fill(null))), `array ${n}`)
  }
})

test('text is written in UTF-8, by the number of its bytes', () => {
  const text = 'ação ☕ 😀'.repeat(10)
  assert.deepEqual(packed(packer => packer.text(text)), Buffer.from(encode(text)))
  assert.deepEqual(packed(packer => packer.textAsBinary(text)), Buffer.from(encode(Buffer.from(text))))
})

test('what was taken stays as it is when more is written', () => {
  const packer = new Packer()
  packer.text('first')
  const first = packer.taken()
  packer.text('other')
  assert.deepEqual([first, packer.taken()], [Buffer.from(encode('first')), Buffer.from(encode('other'))])
})
