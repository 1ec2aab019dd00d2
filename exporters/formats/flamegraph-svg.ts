// Flame graph as one SVG file: root at the top (deep stacks would push it off the screen
// otherwise), width is value, siblings by name. Static inside <img>, searchable and zoomable when
// opened by itself. Across, frames are drawn in millionths of the whole and scaled by a viewBox, so
// that zooming only moves that; browsers clamp larger numbers (Chromium above 2^25).
// Source: Brendan Gregg, "The Flame Graph", CACM 59(6), 2016.

import { assert } from '../../storage/model/errors.js';
import type { FunctionInfo } from '../../storage/model/frame.js';
import { functionLabel } from '../../storage/model/frame.js';
import type { Profile } from '../../storage/model/profile.js';
import { nodeDepths, preorder } from '../../storage/model/stacks.js';
import type { ValueType } from '../../storage/model/stream.js';
import { colourClass, colourStyles, diffColourClass } from './flamegraph-colours.js';
import { flamegraphScript, sizes } from './flamegraph-script.js';
import type { FrameTree, TreeFrame } from './frame-tree.js';
import { buildFrameTree } from './frame-tree.js';
import { escapeXml, formatValue, groupDigits, wrapText } from './text.js';

const { rowPx, charPx, labelPadPx, leastColumns, borderFromPx } = sizes;
const wholeWidth = 1e6;
const marginPx = 10;
const titlePx = 34;
const titleCharPx = 10.3;
/** Room for the buttons beside the title. */
const buttonsPx = 230;
const linePx = 15;
/** The line above the frames that tells of the one pointed at, and of what a search found. */
const detailsPx = 20;

export interface FlamegraphOptions {
  readonly title: string;
  /** What the picture covers: the range, the completeness. Wrapped to
   *  the width; line ends are kept. */
  readonly subtitle: string;
  readonly valueIndex: number;
  /** At least 300; default 1200. */
  readonly widthPx?: number;
  /** Narrower frames are not drawn, and counted in the picture; default 0.3. */
  readonly minWidthPx?: number;
  /** Marks stacks that end early with a frame of their own, right below the comm; default false. */
  readonly showCuts?: boolean;
  /** Colours frames by what they differ from this profile, whose values are to be scaled to the
   *  same time. Widths stay the picture's own; frames of `before` alone are not drawn. */
  readonly before?: Profile;
}

/** A profile without samples gives a picture that says so. */
export function flamegraphSvg(profile: Profile, options: FlamegraphOptions): string {
  const { valueIndex, widthPx = 1200, minWidthPx = 0.3, showCuts = false, before } = options;
  assert(widthPx >= 300, 'a flame graph is at least 300 px wide');
  const valueType = profile.valueTypes[valueIndex]!;
  const tree = buildFrameTree(profile, {
    valueIndex,
    showCuts,
    frameOf,
    commFrameOf,
    ...(before && { before }),
  });
  const graph = layOut(tree, { widthPx: widthPx - 2 * marginPx, minWidthPx });
  const total = tree.total[0]!;
  const lines = wrapText(options.subtitle, Math.floor((widthPx - 2 * marginPx) / charPx));
  if (total > 0) lines.push(summaryOf(tree, graph, { valueType, minWidthPx }));

  const detailsY = titlePx + lines.length * linePx + detailsPx;
  const topPx = detailsY + 7;
  const bodyPx = total > 0 ? graph.rows.length * rowPx : 3 * rowPx;
  const heightPx = topPx + bodyPx + marginPx;
  const place = { widthPx, topPx };
  const body = total > 0 ? drawGraph(tree, graph, { ...place, valueType }) : drawNothing(place);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${widthPx}" height="${heightPx}"`,
    ` viewBox="0 0 ${widthPx} ${heightPx}" role="img">\n`,
    `<style>${baseStyles}${colourStyles}</style>\n`,
    `<rect class="paper" width="100%" height="100%"/>\n`,
    drawHeader(options.title, lines, widthPx),
    `<text id="details" x="${marginPx}" y="${detailsY}"></text>\n`,
    `<text id="matched" class="right" x="${widthPx - marginPx}" y="${detailsY}"></text>\n`,
    ...body,
    '</svg>\n',
  ].join('');
}

const baseStyles = `
text { font: 11px "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #111; white-space: pre; }
#title { font-size: 17px; font-weight: bold; }
.right { text-anchor: end; }
.button { fill: #1a56b0; cursor: pointer; }
.hidden { display: none; }
.paper { fill: #fff; }
#labels { pointer-events: none; }
#frames rect { cursor: pointer; }
#frames rect:hover { filter: brightness(0.85); }
.b { stroke: #fff; stroke-width: 0.7px; vector-effect: non-scaling-stroke; }
.under { opacity: 0.55; }
`;

function frameOf(fn: FunctionInfo): TreeFrame {
  const isUnnamed = fn.frameType === 'native' && fn.name === '';
  return {
    text: functionLabel(fn),
    moduleName: fn.module.name,
    kind: isUnnamed ? 'unnamed' : fn.frameType,
  };
}

function commFrameOf(comm: string): TreeFrame {
  return { text: comm || '[unknown]', moduleName: '', kind: 'comm' };
}

/** Where frames stand. **Shape**: rows[depth] holds the nodes drawn there, from left to right;
 *  starts has one entry a node. **Units**: starts in the profile's values. */
interface Layout {
  readonly rows: readonly (readonly number[])[];
  readonly starts: Float64Array;
  readonly narrowFrames: number;
}

function layOut(
  tree: FrameTree,
  { widthPx, minWidthPx }: { widthPx: number; minWidthPx: number },
): Layout {
  const depths = nodeDepths(tree.parents);
  const starts = new Float64Array(tree.parents.length);
  const nextStart = new Float64Array(tree.parents.length);
  const leastValue = (minWidthPx * tree.total[0]!) / widthPx;
  const rows: number[][] = [];
  let narrowFrames = 0;
  for (const node of preorder(tree)) {
    const parent = tree.parents[node]!;
    const total = tree.total[node]!;
    starts[node] = nextStart[node] = nextStart[parent]!;
    if (node !== 0) nextStart[parent]! += total;
    // What hangs below a narrow frame is no wider, so it is left out with it.
    if (total === 0 && node !== 0) continue;
    if (total < leastValue) narrowFrames++;
    else (rows[depths[node]!] ??= []).push(node);
  }
  return { rows, starts, narrowFrames };
}

function summaryOf(
  tree: FrameTree,
  { narrowFrames }: Layout,
  { valueType, minWidthPx }: { valueType: ValueType; minWidthPx: number },
): string {
  const frames = groupDigits(tree.total.reduce((n, total) => n + (total > 0 ? 1 : 0), -1));
  const shown = `${formatValue(tree.total[0]!, valueType)} in ${frames} frames`;
  if (narrowFrames === 0) return shown;
  return `${shown}; ${groupDigits(narrowFrames)} narrower than ${minWidthPx} px are not drawn`;
}

function drawHeader(title: string, lines: readonly string[], widthPx: number): string {
  const rightPx = widthPx - marginPx;
  const shownTitle = cutToColumns(title, Math.floor((rightPx - buttonsPx) / titleCharPx));
  return [
    `<text id="title" x="${marginPx}" y="24">${escapeXml(shownTitle)}</text>\n`,
    `<text id="reset" class="button right hidden" x="${rightPx - 110}" y="22">Reset zoom</text>\n`,
    `<text id="search" class="button right hidden" x="${rightPx}" y="22">Search</text>\n`,
    ...lines.map((line, i) => {
      return `<text x="${marginPx}" y="${titlePx + 8 + i * linePx}">${escapeXml(line)}</text>\n`;
    }),
  ].join('');
}

interface Place {
  readonly widthPx: number;
  readonly topPx: number;
}

function drawNothing({ topPx }: Place): string[] {
  return [`<text x="${marginPx}" y="${topPx + 2 * rowPx}">No samples.</text>\n`];
}

function drawGraph(
  tree: FrameTree,
  { rows, starts }: Layout,
  { widthPx, topPx, valueType }: Place & { valueType: ValueType },
): string[] {
  const total = tree.total[0]!;
  const graphPx = widthPx - 2 * marginPx;
  const heightPx = rows.length * rowPx;
  // Edges are rounded, not widths: neighbours and parents keep theirs in common.
  const edgeAt = (value: number): number => Math.round((value / total) * wholeWidth);
  const frames: string[] = [];
  const labels: string[] = [];
  rows.forEach((nodes, depth) => {
    const y = depth * rowPx;
    frames.push(`<g data-y="${y}" transform="translate(0 ${y})">\n`);
    for (const node of nodes) {
      const frame = node === 0 ? rootFrame : tree.frames[tree.nodeFrames[node]!]!;
      const value = tree.total[node]!;
      const framePx = (value / total) * graphPx;
      const before = tree.totalBefore?.[node];
      const fill = before === undefined ? colourClass(frame) : diffColourClass(value, before);
      const colour = fill + (framePx >= borderFromPx ? ' b' : '');
      const percent = ((100 * value) / total).toFixed(2);
      const was = before === undefined ? '' : `; before: ${formatValue(before, valueType)}`;
      const title = titleOf(frame, `${formatValue(value, valueType)}, ${percent} %${was}`);
      const x = edgeAt(starts[node]!);
      const box = `x="${x}" width="${edgeAt(starts[node]! + value) - x}" height="${rowPx - 1}"`;
      frames.push(`<rect class="${colour}" ${box}>${title}</rect>\n`);
      const columns = Math.floor((framePx - 2 * labelPadPx) / charPx);
      if (columns < leastColumns) continue;
      const xPx = (marginPx + (starts[node]! / total) * graphPx + labelPadPx).toFixed(1);
      const label = escapeXml(cutToColumns(frame.text, columns));
      labels.push(`<text x="${xPx}" y="${topPx + y + rowPx - 5}">${label}</text>\n`);
    }
    frames.push('</g>\n');
  });
  return [
    `<svg id="frames" x="${marginPx}" y="${topPx}" width="${graphPx}" height="${heightPx}"`,
    ` viewBox="0 0 ${wholeWidth} ${heightPx}" preserveAspectRatio="none">\n`,
    ...frames,
    '</svg>\n<g id="labels">\n',
    ...labels,
    `</g>\n<script><![CDATA[${flamegraphScript}]]></script>\n`,
  ];
}

const rootFrame: TreeFrame = { text: 'all', moduleName: '', kind: 'comm' };

/** Lines of a tooltip, and what the script reads: name, value, module. */
function titleOf({ text, moduleName }: TreeFrame, value: string): string {
  const module = moduleName === '' ? '' : `\n${escapeXml(moduleName)}`;
  return `<title>${escapeXml(text)}\n${value}${module}</title>`;
}

function cutToColumns(text: string, columns: number): string {
  const characters = [...text];
  return characters.length <= columns ? text : `${characters.slice(0, columns - 1).join('')}…`;
}
