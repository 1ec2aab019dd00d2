// The condition of `flame --around`: `runq p99 > 20ms`, `block:vda p99.9 >= 5ms --comm postgres`.
// Text in, data out; whether it holds is asked of the store elsewhere.
//
//   runq | block[:DEVICE]   pNN   > | >= | < | <=   DURATION   [FILTER]

import { parseDurationMs } from '../config/units.js';
import { OperatingError } from '../storage/model/errors.js';
import type { Filter } from '../storage/model/query.js';
import { filterOf } from './filter.js';

export interface Condition {
  readonly signal: 'runq' | 'block';
  /** block only: one device, as the kernel names it. */
  readonly device?: string;
  /** 0 < q < 1. */
  readonly quantile: number;
  readonly operator: keyof typeof comparisons;
  readonly thresholdNs: number;
  readonly filter: Filter;
  /** As typed, blanks evened out. */
  readonly text: string;
}

const comparisons = {
  '>': (a: number, b: number) => a > b,
  '>=': (a: number, b: number) => a >= b,
  '<': (a: number, b: number) => a < b,
  '<=': (a: number, b: number) => a <= b,
} as const;

const filterNames = ['comm', 'pid', 'user', 'cgroup', 'thread'] as const;
const maxTextLength = 4096;
const form = "Conditions are like 'runq p99 > 20ms' or 'block:vda p99.9 >= 5ms --comm postgres'.";

/** **Errors**: `usage`, naming the part that is wrong. */
export function parseCondition(text: string): Condition {
  const words = wordsOf(text);
  const [signalWord, quantileWord, operator, durationWord, ...filterWords] = words;
  const { signal, device } = parseSignal(signalWord);
  const quantile = parseQuantile(quantileWord);
  if (operator === undefined || !isOperator(operator)) {
    throw wrong(`${told(operator)} is no comparison: >, >=, < or <=`);
  }
  const thresholdMs = durationWord === undefined ? undefined : parseDurationMs(durationWord);
  if (thresholdMs === undefined) {
    throw wrong(`${told(durationWord)} is no duration like 250us, 20ms, 1.5s`);
  }
  return {
    signal,
    ...(device !== undefined && { device }),
    quantile,
    operator,
    thresholdNs: Math.round(thresholdMs * 1e6),
    filter: parseFilter(filterWords),
    text: words.join(' '),
  };
}

/** Does a quantile of so many ns meet the condition? */
export function holds({ operator, thresholdNs }: Condition, valueNs: number): boolean {
  return comparisons[operator](valueNs, thresholdNs);
}

function parseSignal(word: string | undefined): Pick<Condition, 'signal' | 'device'> {
  const [signal, device, ...more] = (word ?? '').split(':');
  if (signal !== 'runq' && signal !== 'block')
    throw wrong(`${told(word)} is neither runq nor block`);
  if (device === undefined) return { signal };
  if (signal === 'runq') throw wrong('runq has no device: a thread waits for a CPU');
  if (device === '' || more.length > 0) throw wrong(`${told(word)} names no device`);
  return { signal, device };
}

/** `p99.9` -> 0.999, exactly the double nearest to it. */
function parseQuantile(word: string | undefined): number {
  const percent = /^p(\d{1,2}(?:\.\d{1,4})?)$/.exec(word ?? '')?.[1];
  if (percent === undefined || Number(percent) === 0) {
    throw wrong(`${told(word)} is no quantile from p0.0001 to p99.9999`);
  }
  const [whole = '', part = ''] = percent.split('.');
  return Number(`0.${whole.padStart(2, '0')}${part}`);
}

function isOperator(word: string): word is keyof typeof comparisons {
  return Object.hasOwn(comparisons, word);
}

function parseFilter(words: readonly string[]): Filter {
  const options: Partial<Record<(typeof filterNames)[number], string[]>> = {};
  for (let i = 0; i < words.length; i += 2) {
    const name = filterNames.find((known) => words[i] === `--${known}`);
    if (name === undefined) {
      const known = filterNames.map((filter) => `--${filter}`).join(', ');
      throw wrong(`${told(words[i])} is no filter of a condition: ${known}`);
    }
    const value = words[i + 1];
    if (value === undefined) throw wrong(`--${name} is without its value`);
    (options[name] ??= []).push(value);
  }
  return filterOf(options);
}

/** Words between blanks; quotes hold one together. An operator needs no blanks around it. */
function wordsOf(text: string): string[] {
  if (text.length > maxTextLength) throw wrong(`is longer than ${maxTextLength} characters`);
  const words: string[] = [];
  const pattern = /\s*(?:"([^"]*)"|'([^']*)'|([<>]=?)|([^\s"'<>]+))/y;
  const rest = text.trimEnd();
  while (pattern.lastIndex < rest.length) {
    const at = pattern.lastIndex;
    const match = pattern.exec(rest);
    if (match === null) throw wrong(`the quote at ${told(rest.slice(at).trim())} does not end`);
    words.push(match[1] ?? match[2] ?? match[3] ?? match[4]!);
  }
  return words;
}

function told(word: string | undefined): string {
  return word === undefined ? 'the end' : JSON.stringify(word.slice(0, 64));
}

function wrong(sentence: string): OperatingError {
  return new OperatingError('usage', `--around: ${sentence}`, form);
}
