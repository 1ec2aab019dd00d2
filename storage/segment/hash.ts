// Hash of two ids for the open addressing tables of typed arrays: multiply, fold, multiply, fold.

/** **Units**: 32 bits, signed; mask it to the size of the table. */
export function hashPair(a: number, b: number): number {
  let h = Math.imul(a, 0x9e37_79b1) ^ Math.imul(b, 0x85eb_ca6b);
  h ^= h >>> 15;
  h = Math.imul(h, 0x2c1b_3c6d);
  return h ^ (h >>> 13);
}
