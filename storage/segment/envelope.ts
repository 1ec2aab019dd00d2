// The envelope of every blob: a checksum over named-by-position streams,
// each with its own compression.
//
//   u8 version = 1 | u8 nStreams | u32le crc32 of what follows | u32le length[nStreams] | streams
//   stream: u8 codec | payload         codec 0 raw, 2 brotli; 1 and 3 are kept for deflate and zstd

import { brotliCompressSync, brotliDecompressSync, constants, crc32 } from 'node:zlib';
import { assert } from '../model/errors.js';

const version = 1;
const codecRaw = 0;
const codecBrotli = 2;
const headBytes = 6;
/** Below this many bytes compression is not tried. */
const minCompressBytes = 48;
/** A stream that claims to be longer than this once decompressed is broken. */
const maxStreamBytes = 64 * 2 ** 20;
const maxStreams = 255;

export function encodeEnvelope(streams: readonly Uint8Array[]): Buffer {
  assert(streams.length <= maxStreams, 'a blob has at most 255 streams');
  const packed = streams.map(pack);
  const sizeBytes = packed.reduce((sum, p) => sum + p.length, headBytes + 4 * packed.length);
  const blob = Buffer.alloc(sizeBytes);
  blob[0] = version;
  blob[1] = packed.length;
  let offset = headBytes;
  for (const p of packed) offset = blob.writeUInt32LE(p.length, offset);
  for (const p of packed) {
    blob.set(p, offset);
    offset += p.length;
  }
  blob.writeUInt32LE(crc32(blob.subarray(headBytes)), 2);
  return blob;
}

/** The streams of a blob, decompressed; undefined when it is broken, of a version not known here,
 *  or no blob at all (a damaged page may give any type of column). **Limits**: 64 MiB a stream. */
export function decodeEnvelope(blob: unknown): Uint8Array[] | undefined {
  if (!(blob instanceof Uint8Array) || blob.length < headBytes || blob[0] !== version) {
    return undefined;
  }
  const view = new DataView(blob.buffer, blob.byteOffset, blob.length);
  const count = view.getUint8(1);
  if (blob.length < headBytes + 4 * count) return undefined;
  if (crc32(blob.subarray(headBytes)) !== view.getUint32(2, true)) return undefined;
  const streams: Uint8Array[] = [];
  let offset = headBytes + 4 * count;
  for (let i = 0; i < count; i++) {
    const end = offset + view.getUint32(headBytes + 4 * i, true);
    if (end > blob.length) return undefined;
    const stream = unpack(blob.subarray(offset, end));
    if (stream === undefined) return undefined;
    streams.push(stream);
    offset = end;
  }
  return offset === blob.length ? streams : undefined;
}

function pack(stream: Uint8Array): Uint8Array {
  assert(stream.length <= maxStreamBytes, 'a stream of a blob has at most 64 MiB');
  let codec = codecRaw;
  let payload = stream;
  if (stream.length >= minCompressBytes) {
    const params = {
      [constants.BROTLI_PARAM_QUALITY]: 4,
      [constants.BROTLI_PARAM_LGWIN]: 18,
      [constants.BROTLI_PARAM_SIZE_HINT]: stream.length,
    };
    const compressed = brotliCompressSync(stream, { params });
    if (compressed.length < stream.length) {
      codec = codecBrotli;
      payload = compressed;
    }
  }
  const packed = new Uint8Array(payload.length + 1);
  packed[0] = codec;
  packed.set(payload, 1);
  return packed;
}

function unpack(packed: Uint8Array): Uint8Array | undefined {
  const payload = packed.subarray(1);
  if (packed[0] === codecRaw) return payload.length <= maxStreamBytes ? payload : undefined;
  if (packed[0] !== codecBrotli) return undefined;
  try {
    return brotliDecompressSync(payload, { maxOutputLength: maxStreamBytes });
  } catch {
    return undefined;
  }
}
