// dmesg: what the kernel had to complain of.

import type { EventRecord } from '../../storage/model/query.js';
import { formatTime } from '../window.js';
import type { HostFacts } from './facts.js';
import type { Mark, View } from './view.js';

const shownMessages = 10;
/** LOG_ERR: this and graver is an error. */
const errorLevel = 3;

const known: readonly (readonly [RegExp, string])[] = [
  [/out of memory|oom-kill/i, 'memory ran out'],
  [/I\/O error|blk_update_request|Buffer I\/O/i, 'a disk failed'],
  [
    /soft lockup|hard LOCKUP|rcu.*stall|hung_task|blocked for more than/i,
    'something did not go on',
  ],
  [
    /possible SYN flooding|nf_conntrack: table full|neighbour.*overflow/i,
    'connections were dropped',
  ],
  [/segfault|general protection/i, 'a program crashed'],
  [/machine check|Hardware Error|EDAC/i, 'hardware failed'],
];

export function dmesgView({ messages }: HostFacts): View {
  const lines = messages.slice(-shownMessages).map((message) => {
    return `[${formatTime(message.unixNs)}] ${message.values['message']}`;
  });
  if (lines.length === 0) lines.push('no warnings in the hour before');
  return { tool: 'dmesg --level warn+', lines, tables: [], marks: messageMarks(messages) };
}

/** One mark a kind of message: the latest, and how many. */
function messageMarks(messages: readonly EventRecord[]): Mark[] {
  const groups = new Map<string, { count: number; last: string }>();
  for (const { values } of messages) {
    const last = String(values['message']);
    const meaning = known.find(([pattern]) => pattern.test(last))?.[1];
    const isError = Number(values['level']) <= errorLevel;
    if (meaning === undefined && !isError) continue;
    const title = meaning ?? 'the kernel reports errors';
    groups.set(title, { count: (groups.get(title)?.count ?? 0) + 1, last });
  }
  return [...groups].map(([title, { count, last }]) => {
    return { kind: 'errors', why: `${title} (${count} messages): ${last}` };
  });
}
