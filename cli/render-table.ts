// Plain tables: columns as wide as their widest cell, numbers to the right. Cells are
// foreign text and made printable.

import { printable } from '../exporters/formats/text.js';

export interface Column {
  readonly title: string;
  readonly align: 'left' | 'right';
}

/** Lines without line ends; every row has one cell a column. The last column is not padded. */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): string[] {
  const cells = [columns.map((column) => column.title), ...rows].map((row) => row.map(printable));
  const widths = columns.map((_, c) =>
    cells.reduce((width, row) => Math.max(width, row[c]!.length), 0),
  );
  return cells.map((row) =>
    row
      .map((cell, c) => pad(cell, widths[c]!, columns[c]!.align))
      .join('  ')
      .trimEnd(),
  );
}

function pad(text: string, width: number, align: Column['align']): string {
  return align === 'left' ? text.padEnd(width) : text.padStart(width);
}
