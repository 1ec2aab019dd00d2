// One view of the checklist: what one familiar tool prints, as data. Cells keep their numbers
// unrounded for --json; decimals are those of the tool.

import { printable } from '../../exporters/formats/text.js';
import { renderTable } from '../render-table.js';

/** A number, a text, or undefined for what is not known: `-`. */
export type Cell = number | string | undefined;

export interface ViewColumn {
  readonly title: string;
  /** Decimals of a number; 0 by default. */
  readonly decimals?: number;
  readonly align?: 'left';
}

export interface ViewTable {
  readonly columns: readonly ViewColumn[];
  readonly rows: readonly (readonly Cell[])[];
  /** Rows that the tool has but that are left out here: said below the table. */
  readonly leftOut?: string;
}

/** What looks wrong: which kind of it by the USE method, and the sentence that says so. */
export interface Mark {
  readonly kind: 'utilisation' | 'saturation' | 'errors';
  readonly why: string;
}

export interface View {
  /** The command whose view it is. */
  readonly tool: string;
  readonly lines: readonly string[];
  readonly tables: readonly ViewTable[];
  readonly marks: readonly Mark[];
  /** Set when the store does not hold what the view needs. */
  readonly missing?: string;
}

export function missingView(tool: string, what: string): View {
  return { tool, lines: [], tables: [], marks: [], missing: `not recorded: ${what}` };
}

export interface ViewStyle {
  readonly hasColour: boolean;
}

/** Lines without line ends. */
export function viewLines(view: View, { hasColour }: ViewStyle): string[] {
  const bold = (text: string) => (hasColour ? `\x1b[1m${text}\x1b[0m` : text);
  const red = (text: string) => (hasColour ? `\x1b[31;1m${text}\x1b[0m` : text);
  const lines = [bold(`$ ${view.tool}`), ...view.lines.map(printable)];
  if (view.missing !== undefined) lines.push(view.missing);
  for (const [i, { columns, rows, leftOut }] of view.tables.entries()) {
    if (i > 0) lines.push('');
    const texts = rows.map((row) => row.map((cell, c) => cellText(cell, columns[c]!)));
    const aligned = columns.map(
      ({ title, align }) => ({ title, align: align ?? 'right' }) as const,
    );
    lines.push(...renderTable(aligned, texts));
    if (leftOut !== undefined) lines.push(leftOut);
  }
  lines.push(...view.marks.map(({ kind, why }) => red(`! ${kind}: ${printable(why)}`)));
  return lines;
}

function cellText(cell: Cell, { decimals = 0 }: ViewColumn): string {
  if (cell === undefined) return '-';
  return typeof cell === 'string' ? cell : cell.toFixed(decimals);
}

/** Rows as objects by the columns' titles; what is not known is null. */
export function viewJson({ tool, lines, tables, marks, missing }: View): Record<string, unknown> {
  const tablesJson = tables.map(({ columns, rows }) =>
    rows.map((row) => {
      return Object.fromEntries(columns.map(({ title }, c) => [title, row[c] ?? null]));
    }),
  );
  return { tool, lines, tables: tablesJson, marks, ...(missing !== undefined && { missing }) };
}
