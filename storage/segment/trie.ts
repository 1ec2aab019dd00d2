// Stacks as a trie of (parent, frame) with dense ids, in typed arrays: 8 bytes a node,
// and twice as much again for the hash table of one that grows. Node 0 is the root; a
// parent's id is below its children's.

import { assert } from '../model/errors.js';
import { ByteReader, ByteWriter } from './bytes.js';
import { hashPair } from './hash.js';

/** Frame of a node whose dictionary chunk was lost. */
export const lostFrame = 0xffff_ffff;
export const maxNodes = 2 ** 24;
const firstCapacity = 1024;

export class Trie {
  /** Valid below `size`; replaced when the trie grows. */
  parents = new Uint32Array(firstCapacity);
  frames = new Uint32Array(firstCapacity).fill(lostFrame);
  size = 1;
  /** Open addressing, node id or 0 for free. Made when the first child is
   *  looked up: readers need none. */
  #slots: Int32Array | undefined;

  /** The child of `parent` with this frame; made when new. */
  child(parent: number, frame: number): number {
    let slots = this.#slots ?? this.#rehash();
    const { parents, frames } = this;
    const mask = slots.length - 1;
    let slot = hashPair(parent, frame) & mask;
    for (let id = slots[slot]!; id !== 0; id = slots[slot]!) {
      if (parents[id] === parent && frames[id] === frame) return id;
      slot = (slot + 1) & mask;
    }
    const id = this.size;
    if (id === parents.length) {
      this.#reserve(id + 1);
      slots = this.#rehash();
      slot = freeSlot(slots, parent, frame);
    }
    this.parents[id] = parent;
    this.frames[id] = frame;
    slots[slot] = id;
    this.size = id + 1;
    return id;
  }

  /** The nodes [first, size) as the two streams of a dictionary chunk. */
  encodeFrom(first: number): [Uint8Array, Uint8Array] {
    const deltas = new ByteWriter(this.size - first + 16);
    const frames = new ByteWriter(2 * (this.size - first) + 16);
    for (let id = first; id < this.size; id++) {
      deltas.unsigned(id - this.parents[id]!);
      frames.unsigned(this.frames[id]!);
    }
    return [deltas.finish(), frames.finish()];
  }

  /** Puts a chunk at its place, wherever that is: a chunk lost before it does not shift it. False
   *  (or BrokenBlob) when it is broken; nothing is changed then. */
  load(first: number, count: number, streams: readonly Uint8Array[]): boolean {
    const [deltaBytes, frameBytes] = streams;
    if (streams.length !== 2 || deltaBytes === undefined || frameBytes === undefined) return false;
    if (first < 1 || first + count > maxNodes) return false;
    if (count > deltaBytes.length || count > frameBytes.length) return false;
    const parents = new Uint32Array(count);
    const frames = new Uint32Array(count);
    const deltaReader = new ByteReader(deltaBytes);
    const frameReader = new ByteReader(frameBytes);
    for (let i = 0; i < count; i++) {
      const delta = deltaReader.unsigned();
      const frame = frameReader.unsigned();
      if (delta < 1 || delta > first + i || frame >= lostFrame) return false;
      parents[i] = first + i - delta;
      frames[i] = frame;
    }
    if (!deltaReader.isAtEnd || !frameReader.isAtEnd) return false;
    this.#reserve(first + count);
    this.parents.set(parents, first);
    this.frames.set(frames, first);
    this.size = Math.max(this.size, first + count);
    this.#slots = undefined;
    return true;
  }

  #reserve(nodes: number): void {
    assert(nodes <= maxNodes, 'a segment has fewer than 2^24 nodes');
    let capacity = this.parents.length;
    if (nodes <= capacity) return;
    while (capacity < nodes) capacity *= 2;
    const parents = new Uint32Array(capacity);
    parents.set(this.parents);
    const frames = new Uint32Array(capacity).fill(lostFrame, this.size);
    frames.set(this.frames.subarray(0, this.size));
    this.parents = parents;
    this.frames = frames;
  }

  #rehash(): Int32Array {
    const slots = new Int32Array(this.parents.length * 2);
    for (let id = 1; id < this.size; id++) {
      slots[freeSlot(slots, this.parents[id]!, this.frames[id]!)] = id;
    }
    this.#slots = slots;
    return slots;
  }
}

function freeSlot(slots: Int32Array, parent: number, frame: number): number {
  const mask = slots.length - 1;
  let slot = hashPair(parent, frame) & mask;
  while (slots[slot] !== 0) slot = (slot + 1) & mask;
  return slot;
}
