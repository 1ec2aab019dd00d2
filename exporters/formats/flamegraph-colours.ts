// Colours by kind of frame, light enough for black text and for paper. Native code has a warm hue
// by module; the shade, by name, keeps neighbours apart.

import type { TreeFrame } from './frame-tree.js';

// Between them lies 30, orange, the kernel's.
const nativeHues = [350, 0, 10, 44, 50, 56];
const shades = [0, 1, 2];
/** Steps from no difference to all of it. */
const diffSteps = 5;

/** CSS for every class that colourClass gives, and for `hit`, a frame that a search found. */
export const colourStyles = [
  ...nativeHues.flatMap((hue, i) =>
    shades.map((s) => `.n${i}${s} { fill: hsl(${hue}, 85%, ${70 + 6 * s}%); }`),
  ),
  ...shades.map((s) => `.k${s} { fill: hsl(29, 92%, ${58 + 6 * s}%); }`),
  ...shades.map((s) => `.u${s} { fill: hsl(0, 0%, ${76 + 5 * s}%); }`),
  '.g0, .s0 { fill: hsl(0, 0%, 93%); }',
  ...[...Array(diffSteps).keys()].flatMap((step) => [
    `.g${step + 1} { fill: hsl(4, 88%, ${91 - 6.5 * step}%); }`,
    `.s${step + 1} { fill: hsl(215, 75%, ${91 - 6 * step}%); }`,
  ]),
  '.comm { fill: hsl(38, 35%, 87%); }',
  '.cut { fill: hsl(210, 12%, 68%); }',
  '#frames .hit { fill: hsl(295, 75%, 74%); }\n',
].join('\n');

export function colourClass({ kind, text, moduleName }: TreeFrame): string {
  const shade = hashOf(text) % shades.length;
  switch (kind) {
    case 'native':
      return `n${hashOf(moduleName) % nativeHues.length}${shade}`;
    case 'kernel':
      return `k${shade}`;
    case 'unnamed':
      return `u${shade}`;
    case 'comm':
    case 'cut':
      return kind;
  }
}

/** Red where the value grew, blue where it shrank, paler the smaller the change is beside the
 *  larger of both values. */
export function diffColourClass(now: number, before: number): string {
  const change = now === before ? 0 : (now - before) / Math.max(now, before);
  const step = Math.round(Math.abs(change) * diffSteps);
  return `${change < 0 ? 's' : 'g'}${step}`;
}

/** FNV-1a over UTF-16 units. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  }
  return hash;
}
