// Rows laid out for the kernel: 4 KB blocks that are the values of one array map, a search tree of
// up to three levels over them. bpf/include/unwind_table.h declares and draws it.

export const blockRows = 512;
export const blockBytes = blockRows * 8;
const unusedPc = 0xffffffff;

export interface Blocks {
  /** All blocks, block 0 the root: `blockCount` values for the map's keys 0, 1, 2 ... */
  readonly blocks: Uint8Array;
  readonly blockCount: number;
  /** 1 to 3. */
  readonly levels: number;
}

/** **Shape**: pcs ascending, the first 0, as many rules; at least one row, at most 512^3. */
export function layOutBlocks(pcs: Uint32Array, rules: Uint32Array): Blocks {
  const levels = [pcs];
  while (levels[0]!.length > blockRows) levels.unshift(everyFirst(levels[0]!));
  const counts = levels.map((level) => Math.ceil(level.length / blockRows));
  const blockCount = counts.reduce((sum, count) => sum + count, 0);
  const words = new Uint32Array(blockCount * blockRows * 2);
  let block = 0;
  levels.forEach((level, depth) => {
    const below = block + counts[depth]!;
    const isLast = depth === levels.length - 1;
    for (let row = 0; row < level.length; row += blockRows, block++) {
      const at = block * blockRows * 2;
      const count = Math.min(blockRows, level.length - row);
      words.set(level.subarray(row, row + count), at);
      words.fill(unusedPc, at + count, at + blockRows);
      if (isLast) words.set(rules.subarray(row, row + count), at + blockRows);
      else for (let i = 0; i < count; i++) words[at + blockRows + i] = below + row + i;
    }
  });
  return { blocks: new Uint8Array(words.buffer), blockCount, levels: levels.length };
}

/** The first pc of each block. */
function everyFirst(pcs: Uint32Array): Uint32Array {
  return Uint32Array.from(
    { length: Math.ceil(pcs.length / blockRows) },
    (_, i) => pcs[i * blockRows]!,
  );
}

/** The rule for a pc, as the kernel finds it. */
export function findRule({ blocks, levels }: Blocks, pc: number): number {
  const words = new Uint32Array(blocks.buffer, blocks.byteOffset, blocks.byteLength / 4);
  let found = 0;
  for (let level = 0; level < levels; level++) {
    const block = found * blockRows * 2;
    let row = 0;
    for (let step = blockRows / 2; step > 0; step >>= 1) {
      if (words[block + row + step]! <= pc) row += step;
    }
    found = words[block + blockRows + row]!;
  }
  return found;
}
