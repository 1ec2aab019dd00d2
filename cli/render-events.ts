// Events as a table that may go on for ever: the first page sets the widths, wider
// cells later push their line only.

import { printable } from '../exporters/formats/text.js';
import type { EventRecord } from '../storage/model/query.js';
import type { FieldInfo } from '../storage/model/stream.js';
import { formatDurationNs } from './format.js';
import { localDay, localTime, offsetText } from './window.js';

/** A cell never makes its column wider than this. */
const maxWidth = 48;

export class EventTable {
  readonly #fields: readonly FieldInfo[];
  #widths: number[] | undefined;
  /** Day and offset of the line before: said once, and again when they change. */
  #day = '';

  constructor(fields: readonly FieldInfo[]) {
    this.#fields = fields;
  }

  /** Lines without line ends, the first page's with the titles. */
  lines(events: readonly EventRecord[]): string[] {
    if (events.length === 0) return [];
    const rows = events.map(({ values }) =>
      this.#fields.map((field) => cellText(field, values[field.name])),
    );
    const lines: string[] = [];
    if (this.#widths === undefined) {
      const titles = this.#fields.map((field) => field.name);
      this.#widths = titles.map((title, c) =>
        rows.reduce((w, row) => Math.max(w, row[c]!.length), title.length),
      );
      lines.push(this.#line('time', titles));
    }
    for (const [i, row] of rows.entries()) {
      const date = new Date(Number(events[i]!.unixNs / 1_000_000n));
      const day = `${localDay(date)} ${offsetText(date)}`;
      if (day !== this.#day) lines.push(`-- ${day}`);
      this.#day = day;
      lines.push(this.#line(timeText(date), row));
    }
    return lines;
  }

  #line(time: string, row: readonly string[]): string {
    const cells = row.map((cell, c) => {
      const width = Math.min(this.#widths![c]!, maxWidth);
      return this.#fields[c]!.type === 'number' ? cell.padStart(width) : cell.padEnd(width);
    });
    return [time.padEnd('00:00:00.000'.length), ...cells].join('  ').trimEnd();
  }
}

function timeText(date: Date): string {
  return date.getMilliseconds() === 0 ? `${localTime(date)}.000` : localTime(date);
}

/** -1 is an unknown number. `start` is a time in unix ms: when its process image began. */
function cellText({ name, type, unit }: FieldInfo, value: string | number | undefined): string {
  if (value === undefined || (type === 'number' && value === -1)) return '?';
  if (typeof value === 'string') return printable(value);
  if (unit === 'nanoseconds') return formatDurationNs(value);
  return name === 'start' ? timeText(new Date(value)) : String(value);
}
