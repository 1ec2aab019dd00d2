// What `flame` and `top` share: ask for stacks, select among them, and
// say how complete the answer is.

import type { Coverage } from '../storage/model/query.js';
import type { Profile } from '../storage/model/profile.js';
import { selectProfile } from '../storage/model/select.js';
import type { StackCompleteness } from '../storage/model/stacks.js';
import { stackCompleteness } from '../storage/model/stacks.js';
import { describeFilter, filterOf, selectionOf } from './filter.js';
import type { FilterOptions } from './filter.js';
import { withProgress } from './progress.js';
import { coverageLines } from './render-completeness.js';
import { withQuery } from './settings.js';
import type { GlobalOptions } from './settings.js';
import { namingWindow, resolveWindow } from './window.js';
import type { WindowText } from './window.js';

export interface StacksOptions extends GlobalOptions, FilterOptions, WindowText {
  readonly type: string;
}

export interface StacksAnswer {
  readonly profile: Profile;
  readonly coverage: Coverage;
  readonly stacks: StackCompleteness;
  /** As typed; '' for everything. */
  readonly filterText: string;
  /** Range and completeness, a line each. */
  readonly lines: readonly string[];
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
  const profile =
    Object.keys(selection).length === 0 ? answer.profile : selectProfile(answer.profile, selection);
  const stacks = stackCompleteness(profile);
  const filterText = describeFilter(options);
  const lines = coverageLines('samples', answer.coverage, stacks);
  if (filterText !== '') {
    lines.push(`filter: ${filterText} (samples above are those of the whole host)`);
  }
  if (profile.rowNodes.length === 0) lines.push('no sample matches');
  return { profile, coverage: answer.coverage, stacks, filterText, lines };
}
