// Names are foreign text: a process or a symbol may be called anything. What reaches a line or a
// picture goes through here first.

import type { ValueType } from '../../storage/model/stream.js';

// Control characters (line ends too), halves of surrogate pairs, and the
// marks that make text run backwards.
const unprintable = /[\p{Cc}\p{Surrogate}\u2028-\u202e\u2066-\u2069\ufffe\uffff]/gu;

/** The text with U+FFFD for each character that would break a line, an
 *  XML file or the reading order. */
export function printable(text: string): string {
  return text.replace(unprintable, '\ufffd');
}

const xmlEntities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text for an XML element or a quoted attribute. */
export function escapeXml(text: string): string {
  return printable(text).replace(/[&<>"']/g, (character) => xmlEntities[character]!);
}

/** A value as a person reads it: 1,234 samples; 12.30 s. */
export function formatValue(value: number, { type, unit }: ValueType): string {
  if (unit === 'nanoseconds') return formatNs(value);
  return `${groupDigits(value)} ${printable(unit === 'count' ? type : unit)}`;
}

function formatNs(ns: number): string {
  if (ns >= 1e9) return `${(ns / 1e9).toFixed(2)} s`;
  if (ns >= 1e6) return `${(ns / 1e6).toFixed(2)} ms`;
  if (ns >= 1e3) return `${(ns / 1e3).toFixed(2)} µs`;
  return `${Math.round(ns)} ns`;
}

/** Lines of at most so many characters, broken at blanks where there are any. */
export function wrapText(text: string, columns: number): string[] {
  const lines: string[] = [];
  for (const line of text.split('\n')) {
    let rest = [...line];
    while (rest.length > columns) {
      const blank = rest.lastIndexOf(' ', columns);
      const end = blank > 0 ? blank : columns;
      lines.push(rest.slice(0, end).join(''));
      rest = rest.slice(blank > 0 ? end + 1 : end);
    }
    lines.push(rest.join(''));
  }
  return lines;
}

/** 1234567 -> 1,234,567. */
export function groupDigits(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',');
}
