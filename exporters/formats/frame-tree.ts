// The tree that folded text and flame graphs show: comm (where wanted), then frames root
// first, equal frames of one parent merged, siblings by name. Built from a profile's
// trie in one pass over its rows.
//
//   root -> comm -> [cut] -> frame -> frame        parent < child, as in a profile

import type { FrameType, FunctionInfo } from '../../storage/model/frame.js';
import { internInto } from '../../storage/model/intern.js';
import type { Profile } from '../../storage/model/profile.js';
import type { ChildLinks } from '../../storage/model/stacks.js';
import { linkChildren } from '../../storage/model/stacks.js';

export interface TreeFrame {
  readonly text: string;
  readonly moduleName: string;
  readonly kind: FrameType | 'unnamed' | 'comm';
}

/** **Shape**: nodeFrames, self and total have one entry a node; node 0 is the root, and its entry
 *  in nodeFrames means nothing. */
export interface FrameTree extends ChildLinks {
  readonly frames: readonly TreeFrame[];
  readonly nodeFrames: Uint32Array;
  readonly self: Float64Array;
  readonly total: Float64Array;
  /** With `before` only: its values at each node. */
  readonly selfBefore?: Float64Array;
  readonly totalBefore?: Float64Array;
}

export interface FrameTreeOptions {
  readonly valueIndex: number;
  /** false leaves the markers of stacks that end early out. */
  readonly showCuts: boolean;
  /** How a function reads; functions with equal frames are one. */
  readonly frameOf: (fn: FunctionInfo) => TreeFrame;
  /** How a comm reads; without it there is no such level. */
  readonly commFrameOf?: (comm: string) => TreeFrame;
  /** Another profile to compare with, of the same value types. */
  readonly before?: Profile;
}

export function buildFrameTree(profile: Profile, options: FrameTreeOptions): FrameTree {
  const builder = new TreeBuilder();
  addProfile(builder, profile, options);
  if (options.before === undefined) return builder.build();
  const self = builder.takeSelf();
  addProfile(builder, options.before, options);
  const { self: selfBefore, total: totalBefore, ...tree } = builder.build();
  const selfNow = new Float64Array(selfBefore.length);
  selfNow.set(self);
  const total = totalsOf(selfNow, tree.parents);
  return { ...tree, self: selfNow, total, selfBefore, totalBefore };
}

function addProfile(builder: TreeBuilder, profile: Profile, options: FrameTreeOptions): void {
  const { parents, nodeFunctions, functions, rowNodes, rowSeries } = profile;
  const { showCuts, frameOf, commFrameOf } = options;
  const values = profile.values[options.valueIndex]!;
  const functionFrames = functions.map((fn) => builder.frameId(frameOf(fn)));
  const isLeftOut = functions.map((fn) => fn.frameType === 'cut' && !showCuts);
  const seriesTops = profile.series.map(({ comm }) => {
    return commFrameOf === undefined ? 0 : builder.child(0, builder.frameId(commFrameOf(comm)));
  });

  // (top, node of the profile) -> node of the tree
  const known = new Map<number, number>();
  const path: number[] = [];
  for (let row = 0; row < values.length; row++) {
    const top = seriesTops[rowSeries[row]!]!;
    const keyBase = top * 2 ** 24;
    let node = rowNodes[row]!;
    while (node !== 0 && !known.has(keyBase + node)) {
      path.push(node);
      node = parents[node]!;
    }
    let treeNode = node === 0 ? top : known.get(keyBase + node)!;
    while (path.length > 0) {
      node = path.pop()!;
      const fn = nodeFunctions[node]!;
      if (!isLeftOut[fn]!) treeNode = builder.child(treeNode, functionFrames[fn]!);
      known.set(keyBase + node, treeNode);
    }
    builder.addSelf(treeNode, values[row]!);
  }
}

function totalsOf(self: Float64Array, parents: Uint32Array): Float64Array {
  const total = self.slice();
  for (let i = total.length - 1; i > 0; i--) total[parents[i]!]! += total[i]!;
  return total;
}

class TreeBuilder {
  readonly #frames: TreeFrame[] = [];
  readonly #frameIds = new Map<string, number>();
  readonly #parents: number[] = [0];
  readonly #nodeFrames: number[] = [0];
  readonly #self: number[] = [0];
  readonly #children = new Map<number, number>();

  frameId(frame: TreeFrame): number {
    const key = `${frame.kind}\0${frame.moduleName}\0${frame.text}`;
    return internInto(this.#frameIds, this.#frames, key, frame);
  }

  child(parent: number, frame: number): number {
    const key = parent * 2 ** 26 + frame;
    let id = this.#children.get(key);
    if (id === undefined) {
      id = this.#parents.push(parent) - 1;
      this.#nodeFrames.push(frame);
      this.#self.push(0);
      this.#children.set(key, id);
    }
    return id;
  }

  addSelf(node: number, value: number): void {
    this.#self[node]! += value;
  }

  /** The values so far; the nodes stay, and count from nothing again. */
  takeSelf(): Float64Array {
    const self = Float64Array.from(this.#self);
    this.#self.fill(0);
    return self;
  }

  build(): FrameTree {
    const parents = Uint32Array.from(this.#parents);
    const nodeFrames = Uint32Array.from(this.#nodeFrames);
    const self = Float64Array.from(this.#self);
    const total = totalsOf(self, parents);
    const frameRanks = rankFrames(this.#frames);
    const nodeRanks = nodeFrames.map((frame, node) => (node === 0 ? 0 : frameRanks[frame]!));
    return { frames: this.#frames, nodeFrames, self, total, ...linkChildren(parents, nodeRanks) };
  }
}

/** Place of each frame in the order by text, then module, then kind. */
function rankFrames(frames: readonly TreeFrame[]): Uint32Array {
  const order = frames.map((_, id) => id);
  order.sort((a, b) => compareFrames(frames[a]!, frames[b]!));
  const ranks = new Uint32Array(frames.length);
  order.forEach((id, rank) => (ranks[id] = rank));
  return ranks;
}

function compareFrames(a: TreeFrame, b: TreeFrame): number {
  if (a.text !== b.text) return a.text < b.text ? -1 : 1;
  if (a.moduleName !== b.moduleName) return a.moduleName < b.moduleName ? -1 : 1;
  return a.kind < b.kind ? -1 : a.kind > b.kind ? 1 : 0;
}
