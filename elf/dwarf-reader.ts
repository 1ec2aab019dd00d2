// A place in DWARF bytes that moves as values are read. It never throws: what lies outside of the limit reads
// as 0 and sets `isBroken`, to be asked once at the end. Source: DWARF 5, 7.6 (LEB128); LSB, "DWARF
// Extensions" (DW_EH_PE_*).

import { readSigned64, viewOf } from './elf-file.js';

export const pointerEncoding = { absolute: 0x00, relative: 0x10, indirect: 0x80, omitted: 0xff } as const;

/** LEB128 of 64 bits; longer ones are broken. */
const maxLebBytes = 10;

export class DwarfReader {
  readonly bytes: Uint8Array;
  /** Virtual address of the first byte. */
  readonly address: number;
  at = 0;
  /** Nothing is read from here on. */
  limit: number;
  isBroken = false;
  readonly #view: DataView;

  constructor(bytes: Uint8Array, address: number) {
    this.bytes = bytes;
    this.address = address;
    this.limit = bytes.length;
    this.#view = viewOf(bytes);
  }

  /** Restricts reading to [at, limit) of the bytes. */
  seek(at: number, limit: number): void {
    this.isBroken = !(at >= 0 && at <= limit && limit <= this.bytes.length);
    this.at = this.isBroken ? 0 : at;
    this.limit = this.isBroken ? 0 : limit;
  }

  skip(count: number): void {
    this.#take(count);
  }

  u8(): number {
    if (this.at < this.limit) return this.bytes[this.at++]!;
    this.isBroken = true;
    return 0;
  }

  u16(): number {
    const at = this.#take(2);
    return at < 0 ? 0 : this.#view.getUint16(at, true);
  }

  u32(): number {
    const at = this.#take(4);
    return at < 0 ? 0 : this.#view.getUint32(at, true);
  }

  /** Signed, exact below 2^53 in magnitude. */
  s64(): number {
    const at = this.#take(8);
    return at < 0 ? 0 : readSigned64(this.#view, at);
  }

  /** Exact below 2^53. */
  uleb(): number {
    let value = this.u8();
    if (value < 0x80) return value;
    value -= 0x80;
    for (let i = 1, scale = 0x80; i < maxLebBytes; i++, scale *= 0x80) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    this.isBroken = true;
    return 0;
  }

  /** Exact up to 2^48 in magnitude. */
  sleb(): number {
    let value = 0;
    for (let i = 0, scale = 1; i < maxLebBytes; i++, scale *= 0x80) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return byte < 0x40 ? value : value - scale * 0x80;
    }
    this.isBroken = true;
    return 0;
  }

  /** A DW_EH_PE_* pointer, absolute or relative to its own place; of `absolute` encodings also a plain size.
   *  What is relative to anything else, or has to be fetched from memory, is broken. */
  pointer(encoding: number): number {
    const origin = this.address + this.at;
    const value = this.#encoded(encoding & 0x0f);
    const application = encoding & 0xf0;
    if (application === pointerEncoding.relative) return origin + value;
    if (application !== pointerEncoding.absolute) this.isBroken = true;
    return value;
  }

  /** NUL-terminated ASCII, at most `maxBytes` long without the NUL. */
  ascii(maxBytes: number): string {
    let text = '';
    for (let byte = this.u8(); byte !== 0; byte = this.u8()) {
      text += String.fromCharCode(byte);
      if (text.length <= maxBytes) continue;
      this.isBroken = true;
      return '';
    }
    return text;
  }

  #encoded(format: number): number {
    switch (format) {
      case 0x00: // absptr
      case 0x04: // udata8
      case 0x0c: // sdata8
        return this.s64();
      case 0x01:
        return this.uleb();
      case 0x02:
        return this.u16();
      case 0x03:
        return this.u32();
      case 0x09:
        return this.sleb();
      case 0x0a:
        return (this.u16() << 16) >> 16;
      case 0x0b:
        return this.u32() | 0;
      default:
        this.isBroken = true;
        return 0;
    }
  }

  /** Where `count` bytes begin that are now behind; -1 when there are not so many. */
  #take(count: number): number {
    const { at } = this;
    if (count >= 0 && count <= this.limit - at) {
      this.at = at + count;
      return at;
    }
    this.isBroken = true;
    this.at = this.limit;
    return -1;
  }
}
