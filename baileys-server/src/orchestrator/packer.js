/**
 * MessagePack, written into one buffer that is used again and again: no value becomes a Buffer of its own on its way into
 * a frame. Only what frames and records are made of; they are read with @msgpack/msgpack.
 */
export class Packer {
  #buffer = Buffer.allocUnsafeSlow(64 * 1024)
  #end = 0

  /** A copy of what was written since the last call. */
  taken() {
    const bytes = Buffer.from(this.#buffer.subarray(0, this.#end))
    this.#end = 0
    return bytes
  }

  nil() {
    this.#reserve(1)
    this.#byte(0xc0)
  }

  /** @param {number} value an integer from 0 on */
  integer(value) {
    this.#reserve(9)
    if (value < 0x80) this.#byte(value)
    else if (value < 0x1_00) this.#head(0xcc, 1, value)
    else if (value < 0x1_0000) this.#head(0xcd, 2, value)
    else if (value < 0x1_0000_0000) this.#head(0xce, 4, value)
    else {
      this.#byte(0xcf)
      this.#end = this.#buffer.writeBigUInt64BE(BigInt(value), this.#end)
    }
  }

  /** The values that follow. @param {number} length */
  array(length) {
    this.#reserve(5)
    if (length < 16) this.#byte(0x90 | length)
    else if (length < 0x1_0000) this.#head(0xdc, 2, length)
    else this.#head(0xdd, 4, length)
  }

  /** @param {string} text */
  text(text) {
    const bytes = Buffer.byteLength(text)
    this.#reserve(5 + bytes)
    if (bytes < 32) this.#byte(0xa0 | bytes)
    else this.#lengthOf(bytes, 0xd9)
    this.#end += this.#buffer.write(text, this.#end)
  }

  /** @param {string} text as binary, in UTF-8 */
  textAsBinary(text) {
    const bytes = Buffer.byteLength(text)
    this.#reserve(5 + bytes)
    this.#lengthOf(bytes, 0xc4)
    this.#end += this.#buffer.write(text, this.#end)
  }

  /** @param {Uint8Array} bytes */
  binary(bytes) {
    this.#reserve(5 + bytes.length)
    this.#lengthOf(bytes.length, 0xc4)
    this.#buffer.set(bytes, this.#end)
    this.#end += bytes.length
  }

  /** @param {number} bytes @param {number} format of up to 255; those of longer ones follow */
  #lengthOf(bytes, format) {
    if (bytes < 0x1_00) this.#head(format, 1, bytes)
    else if (bytes < 0x1_0000) this.#head(format + 1, 2, bytes)
    else this.#head(format + 2, 4, bytes)
  }

  /** @param {number} format @param {number} bytes of the value @param {number} value */
  #head(format, bytes, value) {
    this.#byte(format)
    this.#end = this.#buffer.writeUIntBE(value, this.#end, bytes)
  }

  /** @param {number} byte */
  #byte(byte) {
    this.#buffer[this.#end++] = byte
  }

  /** @param {number} bytes */
  #reserve(bytes) {
    if (this.#end + bytes <= this.#buffer.length) return
    const larger = Buffer.allocUnsafeSlow(2 * (this.#end + bytes))
    larger.set(this.#buffer.subarray(0, this.#end))
    this.#buffer = larger
  }
}
