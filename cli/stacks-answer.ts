// What `flame` and `top` share: ask for stacks, select among them, and say how complete the answer
// is; with --around also what they differ from.

import type { Coverage } from '../storage/model/query.js';
import type { Profile } from '../storage/model/profile.js';
import type { Selection } from '../storage/model/select.js';
import { selectProfile } from '../storage/model/select.js';
import type { ProcessStacks, StackCompleteness } from '../storage/model/stacks.js';
import { cutByProcess, stackCompleteness } from '../storage/model/stacks.js';
import type { AroundAnswer, Difference } from './around.js';
import { aroundLines, askAround, differenceOf, scaledRest } from './around.js';
import type { Condition } from './condition.js';
import { describeFilter, filterOf, selectionOf } from './filter.js';
import type { FilterOptions } from './filter.js';
import { withProgress } from './progress.js';
import { coverageLines, cutLine } from './render-completeness.js';
import { withQuery } from './settings.js';
import type { GlobalOptions } from './settings.js';
import { namingWindow, resolveWindow } from './window.js';
import type { WindowText } from './window.js';

/** Processes with cut stacks: with --json, and told to people. */
export const MAX_CUT_PROCESSES = 50;
export const CUT_PROCESSES_TOLD = 3;

export interface StacksOptions extends GlobalOptions, FilterOptions, WindowText {
  readonly type: string;
}

export interface StacksAnswer {
  readonly profile: Profile;
  readonly coverage: Coverage;
  readonly stacks: StackCompleteness;
  /** Whose stacks are cut, most first. */
  readonly cutProcesses: readonly ProcessStacks[];
  /** As typed; '' for everything. */
  readonly filterText: string;
  /** Range and completeness, a line each. */
  readonly lines: readonly string[];
  /** With --around: the rest, scaled to the same time, and the functions that differ. */
  readonly around?: {
    readonly answer: AroundAnswer;
    readonly before: Profile;
    readonly difference: Difference;
  };
}

/** **Errors**: `usage` for bad options, and what the query rejects with. */
export async function askForStacks(options: StacksOptions): Promise<StacksAnswer> {
  const window = resolveWindow(options, Date.now());
  const filter = filterOf(options);
  const selection = selectionOf(options);
  const answer = await withQuery(options, (query) => {
    const asked = query.aggregate({ windows: [window], filter, stream: options.type });
    return namingWindow(window, withProgress('reading the store', asked));
  });
  return stacksAnswer(answer.coverage, select(answer.profile, selection), options);
}

/** The windows in which the condition held, and the rest beside them. **Errors**: as above;
 *  `empty-window` when there is no such window, or no other. */
export async function askForDifference(
  options: StacksOptions,
  condition: Condition,
): Promise<StacksAnswer> {
  const window = resolveWindow(options, Date.now());
  const filter = filterOf(options);
  const selection = selectionOf(options);
  const asked = { window, filter, stream: options.type };
  const all = await withQuery(options, (query) =>
    withProgress('reading the store', askAround(query, condition, asked)),
  );
  const [held, rest] = [all.held, all.rest].map((side) => {
    return { ...side, profile: select(side.profile, selection) };
  }) as [AroundAnswer['held'], AroundAnswer['rest']];
  const selected = { ...all, held, rest };
  const answer = stacksAnswer(held.coverage, held.profile, options);
  const [, restSamples = ''] = coverageLines('samples', rest.coverage);
  return {
    ...answer,
    lines: [...aroundLines(selected), ...answer.lines, `the rest: ${restSamples}`],
    around: {
      answer: selected,
      before: scaledRest(selected),
      difference: differenceOf(selected),
    },
  };
}

function select(profile: Profile, selection: Selection): Profile {
  return Object.keys(selection).length === 0 ? profile : selectProfile(profile, selection);
}

function stacksAnswer(coverage: Coverage, profile: Profile, options: StacksOptions): StacksAnswer {
  const stacks = stackCompleteness(profile);
  const filterText = describeFilter(options);
  const lines = coverageLines('samples', coverage, stacks);
  const cutProcesses = cutByProcess(profile, MAX_CUT_PROCESSES);
  const cut = cutLine(cutProcesses.slice(0, CUT_PROCESSES_TOLD));
  if (cut !== undefined) lines.push(cut);
  if (filterText !== '') {
    lines.push(`filter: ${filterText} (samples above are those of the whole host)`);
  }
  if (profile.rowNodes.length === 0) lines.push('no sample matches');
  return { profile, coverage, stacks, cutProcesses, filterText, lines };
}
