// Unwind rows as readelf interprets them, streamed: the observer that tables are compared with.

import { spawn } from 'node:child_process';

export interface ReadelfRow {
  /** Virtual addresses, [start, end), never empty. */
  readonly start: number;
  readonly end: number;
  readonly isSignalFrame: boolean;
  /** In readelf's words: `rsp+8`, `c-16`, `u`, a register's name; expressions as DW_OP text. */
  readonly cfa: string;
  readonly rbp: string;
  readonly ra: string;
}

export type FrameSection = '.eh_frame' | '.debug_frame';

interface Columns {
  readonly names: readonly string[];
  readonly end: number;
  readonly isSignalFrame: boolean;
}

/** The rows of each FDE of a file's section. */
export async function* readelfRows(
  path: string,
  section: FrameSection = '.eh_frame',
): AsyncGenerator<ReadelfRow> {
  let expressions: Expressions | undefined;
  for await (const row of interpretedRows(path, section)) {
    if (row.cfa !== 'exp' && row.rbp !== 'exp') yield row;
    else {
      expressions ??= await readExpressions(path, section);
      const text = expressions.get(row.start);
      yield {
        ...row,
        cfa: row.cfa === 'exp' ? (text?.cfa ?? 'exp') : row.cfa,
        rbp: row.rbp === 'exp' ? (text?.rbp ?? 'exp') : row.rbp,
      };
    }
  }
}

async function* interpretedRows(path: string, section: FrameSection): AsyncGenerator<ReadelfRow> {
  const signalCies = new Set<string>();
  let columns: Columns | undefined;
  let pending: Omit<ReadelfRow, 'end'> | undefined;
  for await (const lines of sectionLines(path, section, 'frames-interp'))
    for (const line of lines) {
      const entry = parseHead(line);
      const isRow = /^[0-9a-f]{16} /.test(line) && entry === undefined;
      const address = isRow ? Number.parseInt(line.slice(0, 16), 16) : undefined;
      // A row ends where the next one begins, the last one of an FDE where that ends.
      const end = address ?? columns?.end;
      if (pending !== undefined && end !== undefined && end > pending.start) yield { ...pending, end };
      pending = undefined;
      if (entry !== undefined) {
        if (entry.kind === 'CIE' && entry.isSignalFrame) signalCies.add(entry.offset);
        columns =
          entry.kind === 'FDE'
            ? { names: [], end: entry.end, isSignalFrame: signalCies.has(entry.cie) }
            : undefined;
      } else if (columns !== undefined && line.startsWith('   LOC')) {
        columns = { ...columns, names: line.trim().split(/ +/) };
      } else if (columns !== undefined && address !== undefined) {
        // A register is printed as `r5 (rdi)`.
        const values = line
          .replace(/r\d+ \((\w+)\)/g, '$1')
          .trim()
          .split(/ +/);
        const value = (name: string): string => values[columns!.names.indexOf(name)] ?? 'u';
        pending = {
          start: address,
          isSignalFrame: columns.isSignalFrame,
          cfa: value('CFA'),
          rbp: value('rbp'),
          ra: value('ra'),
        };
      }
    }
}

type Head =
  | { readonly kind: 'CIE'; readonly offset: string; readonly isSignalFrame: boolean }
  | { readonly kind: 'FDE'; readonly cie: string; readonly start: number; readonly end: number };

function parseHead(line: string): Head | undefined {
  const cie = /^([0-9a-f]{8}) [0-9a-f]+ [0-9a-f]+ CIE "(\w*)"/.exec(line);
  if (cie !== null) return { kind: 'CIE', offset: cie[1]!, isSignalFrame: cie[2]!.includes('S') };
  const fde = /^[0-9a-f]{8} [0-9a-f]+ [0-9a-f]+ FDE cie=([0-9a-f]+) pc=([0-9a-f]+)\.\.([0-9a-f]+)/.exec(line);
  if (fde === null) return undefined;
  return {
    kind: 'FDE',
    cie: fde[1]!,
    start: Number.parseInt(fde[2]!, 16),
    end: Number.parseInt(fde[3]!, 16),
  };
}

interface ExpressionText {
  readonly cfa: string | undefined;
  readonly rbp: string | undefined;
}

type Expressions = Map<number, ExpressionText>;

/** What `exp` stands for at the addresses where a row begins, from the uninterpreted instructions. */
async function readExpressions(path: string, section: FrameSection): Promise<Expressions> {
  const found: Expressions = new Map();
  const remembered: ExpressionText[] = [];
  let text: ExpressionText = { cfa: undefined, rbp: undefined };
  let address = 0;
  for await (const lines of sectionLines(path, section, 'frames'))
    for (const line of lines) {
      const head = parseHead(line);
      if (head !== undefined) {
        text = { cfa: undefined, rbp: undefined };
        remembered.length = 0;
        if (head.kind === 'FDE') address = head.start;
        continue;
      }
      const advanced = /^ {2}DW_CFA_advance_loc\d?: \d+ to ([0-9a-f]+)/.exec(line);
      if (advanced !== null) address = Number.parseInt(advanced[1]!, 16);
      const cfa = /^ {2}DW_CFA_def_cfa_expression \((.*)\)$/.exec(line);
      if (cfa !== null) text = { ...text, cfa: cfa[1] };
      const rbp = /^ {2}DW_CFA_expression: r6 \(rbp\) \((.*)\)$/.exec(line);
      if (rbp !== null) text = { ...text, rbp: rbp[1] };
      if (line.startsWith('  DW_CFA_remember_state')) remembered.push(text);
      if (line.startsWith('  DW_CFA_restore_state')) text = remembered.pop() ?? text;
      if (text.cfa !== undefined || text.rbp !== undefined) found.set(address, text);
    }
  return found;
}

/** Lines of the one section, some at a time, of this file alone: readelf would follow links to separate debug
 *  files. */
async function* sectionLines(path: string, section: FrameSection, dump: string): AsyncGenerator<string[]> {
  const child = spawn('readelf', ['-W', `--debug-dump=${dump},no-follow-links`, path], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, LC_ALL: 'C' },
  });
  child.stdout.setEncoding('latin1');
  let rest = '';
  let isWanted = false;
  for await (const chunk of child.stdout as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop()!;
    yield lines.filter((line) => {
      if (line.startsWith('Contents of the ')) isWanted = line.startsWith(`Contents of the ${section} `);
      return isWanted;
    });
  }
}
