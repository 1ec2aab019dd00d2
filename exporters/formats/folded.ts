// Folded stacks, one line a stack: `comm;main;work;do_syscall_64_[k] 12`, root first, the value
// last. What flamegraph.pl, speedscope and inferno read.

import type { FunctionInfo } from '../../storage/model/frame.js';
import { functionLabel } from '../../storage/model/frame.js';
import type { Profile } from '../../storage/model/profile.js';
import { nodeDepths, noFramesLabel, preorder } from '../../storage/model/stacks.js';
import type { TreeFrame } from './frame-tree.js';
import { buildFrameTree } from './frame-tree.js';
import { printable } from './text.js';

export interface FoldedOptions {
  readonly valueIndex: number;
  /** The comm as the first frame; default true. */
  readonly withComm?: boolean;
  /** `[cut: reason]` before the frames of a stack that ends early; default false. */
  readonly showCuts?: boolean;
  /** Puts the values of this profile before those of the first: `main;work 10 12`, as
   *  difffolded.pl writes and flamegraph.pl reads. */
  readonly before?: Profile;
}

/** Lines without line ends, siblings by name, each stack once. `;` in a name becomes `:`, what
 *  cannot be printed U+FFFD; kernel frames end in `_[k]`. Values are rounded to integers. */
export function* foldedLines(profile: Profile, options: FoldedOptions): Generator<string> {
  const { valueIndex, withComm = true, showCuts = false, before } = options;
  const tree = buildFrameTree(profile, {
    valueIndex,
    showCuts,
    frameOf: (fn) => plainFrame(functionName(fn)),
    ...(withComm && { commFrameOf: (comm: string) => plainFrame(foldedName(comm)) }),
    ...(before && { before }),
  });
  const depths = nodeDepths(tree.parents);
  const names: string[] = [];
  for (const node of preorder(tree)) {
    names.length = Math.max(depths[node]! - 1, 0);
    if (node !== 0) names.push(tree.frames[tree.nodeFrames[node]!]!.text);
    const values = [tree.selfBefore?.[node], tree.self[node]!]
      .filter((value) => value !== undefined)
      .map(Math.round);
    if (values.some((value) => value > 0)) {
      yield [names.join(';') || noFramesLabel, ...values].join(' ');
    }
  }
}

function functionName(fn: FunctionInfo): string {
  const name = foldedName(functionLabel(fn));
  return fn.frameType === 'kernel' ? `${name}_[k]` : name;
}

function foldedName(name: string): string {
  return printable(name).replaceAll(';', ':') || '[unknown]';
}

/** Module and kind are not part of the text, so they must not keep equal lines apart. */
function plainFrame(text: string): TreeFrame {
  return { text, moduleName: '', kind: 'native' };
}
