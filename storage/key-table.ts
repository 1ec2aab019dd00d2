// Values by key and step: the table that a series answer is made of.

import { OperatingError } from './model/errors.js';
import type { KeySeries } from './model/query.js';
import type { MetricKey } from './model/stream.js';

/** Keys times steps of one answer. */
const maxCells = 2 ** 21;

/** **Errors**: `usage` when it grows too large for one answer. */
export class KeyTable<T> {
  readonly #steps: number;
  readonly #rows = new Map<string, number>();
  readonly #keys: MetricKey[] = [];
  readonly #values: (T | undefined)[][] = [];
  readonly #maxFilled: number;
  #filled = 0;

  constructor(steps: number, maxFilled: number) {
    this.#steps = steps;
    this.#maxFilled = maxFilled;
  }

  /** The row of a key; made when new. */
  row(key: MetricKey): number {
    const text = JSON.stringify(key);
    let row = this.#rows.get(text);
    if (row === undefined) {
      row = this.#keys.length;
      if ((row + 1) * this.#steps > maxCells) throw tooLarge(`${row} keys at ${this.#steps} steps`);
      this.#rows.set(text, row);
      this.#keys.push(key);
      this.#values.push(Array.from({ length: this.#steps }));
    }
    return row;
  }

  get(row: number, step: number): T | undefined {
    return this.#values[row]![step];
  }

  set(row: number, step: number, value: T): void {
    const values = this.#values[row]!;
    if (values[step] === undefined && ++this.#filled > this.#maxFilled) {
      throw tooLarge(`${this.#maxFilled} values`);
    }
    values[step] = value;
  }

  /** By the first appearance of the keys. */
  get keys(): KeySeries<T>[] {
    return this.#keys.map((key, row) => ({ key, values: this.#values[row]! }));
  }
}

function tooLarge(what: string): OperatingError {
  return new OperatingError(
    'usage',
    `the answer would be too large: more than ${what}`,
    'Take a shorter window, longer steps, a filter, or fewer fields to keep keys apart by.',
  );
}
