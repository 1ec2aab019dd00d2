// Varints: LEB128, 7 bits a byte, low bits first. Unsigned values and magnitudes are below 2^53; a
// signed value keeps its sign in the lowest bit of the first byte, so that no 54th bit is needed.
// Readers bound everything and throw BrokenBlob, which `decoding` turns into undefined at the edge
// of each decoder.

/** The bytes at hand are not what they should be. Never leaves this folder. */
export class BrokenBlob extends Error {}

/** Runs a decoder over foreign bytes: undefined when they are broken. */
export function decoding<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof BrokenBlob) return undefined;
    throw error;
  }
}

export class ByteWriter {
  #bytes: Uint8Array;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  /** An integer, 0 <= value < 2^53. */
  unsigned(value: number): void {
    if (this.#length + 8 > this.#bytes.length) this.#grow();
    const bytes = this.#bytes;
    let at = this.#length;
    while (value >= 0x8000_0000) {
      bytes[at++] = (value % 128) | 0x80;
      value = Math.floor(value / 128);
    }
    while (value >= 0x80) {
      bytes[at++] = (value & 0x7f) | 0x80;
      value >>>= 7;
    }
    bytes[at++] = value;
    this.#length = at;
  }

  /** An integer, |value| < 2^53. First byte: more | 6 bits of magnitude | sign. */
  signed(value: number): void {
    const magnitude = Math.abs(value);
    const sign = value < 0 ? 1 : 0;
    const rest = Math.floor(magnitude / 64);
    if (this.#length + 1 > this.#bytes.length) this.#grow();
    this.#bytes[this.#length++] = ((magnitude % 64) << 1) | sign | (rest > 0 ? 0x80 : 0);
    if (rest > 0) this.unsigned(rest);
  }

  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #grow(): void {
    const bytes = new Uint8Array(this.#bytes.length * 2 + 16);
    bytes.set(this.#bytes);
    this.#bytes = bytes;
  }
}

export class ByteReader {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#offset >= this.#bytes.length;
  }

  unsigned(): number {
    const bytes = this.#bytes;
    let byte = bytes[this.#offset++];
    if (byte === undefined) throw new BrokenBlob('varint cut short');
    if (byte < 0x80) return byte;
    let value = byte & 0x7f;
    for (let factor = 0x80; factor <= 2 ** 49; factor *= 0x80) {
      byte = bytes[this.#offset++];
      if (byte === undefined) throw new BrokenBlob('varint cut short');
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
    }
    throw new BrokenBlob('varint of more than 53 bits');
  }

  /** Hot: an answer over a day reads hundreds of millions. */
  signedAll(count: number): Float64Array {
    const bytes = this.#bytes;
    // A value takes a byte or more.
    if (count > bytes.length - this.#offset) throw new BrokenBlob('varint cut short');
    const values = new Float64Array(count);
    let at = this.#offset;
    for (let i = 0; i < count; i++) {
      const byte = bytes[at];
      if (byte !== undefined && byte < 0x80) {
        values[i] = (byte & 1) === 0 ? byte >>> 1 : 0 - (byte >>> 1);
        at++;
        continue;
      }
      this.#offset = at;
      values[i] = this.signed();
      at = this.#offset;
    }
    this.#offset = at;
    return values;
  }

  signed(): number {
    const byte = this.#bytes[this.#offset++];
    if (byte === undefined) throw new BrokenBlob('varint cut short');
    let magnitude = (byte & 0x7f) >>> 1;
    if (byte >= 0x80) magnitude += this.unsigned() * 64;
    if (magnitude > Number.MAX_SAFE_INTEGER) throw new BrokenBlob('varint of more than 53 bits');
    return (byte & 1) === 0 ? magnitude : 0 - magnitude;
  }
}
