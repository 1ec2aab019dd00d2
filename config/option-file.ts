// Reads the configuration file: YAML nodes with their lines, sorted into options by the schema's
// paths. Plain scalars are taken as written (0660 stays 0660), whatever YAML makes of them.

import { closeSync, openSync, readSync } from 'node:fs';
import { LineCounter, isMap, isNode, isScalar, parseDocument, visit } from 'yaml';
import type { Document, YAMLMap } from 'yaml';
import { listOptions, textOptions } from './schema.js';
import type { ListOptionPath, TextOptionPath } from './schema.js';

/** A configuration file is larger than this only by mistake. */
const maxFileBytes = 64 * 1024;
/** More are not told: a file of another kind has one on every line. */
const maxProblems = 20;

export interface FileProblem {
  readonly file: string;
  readonly line: number;
  readonly message: string;
}

/** probes.NAME.KNOB: the value as YAML reads it, and its line. */
export type Knobs = Readonly<
  Record<string, Readonly<Record<string, { readonly value: unknown; readonly line: number }>>>
>;

export interface FileOptions {
  /** Path of a text option -> as written. */
  readonly texts: ReadonlyMap<string, { readonly text: string; readonly line: number }>;
  /** Path of a list option -> as YAML reads it. */
  readonly lists: ReadonlyMap<ListOptionPath, { readonly value: unknown; readonly line: number }>;
  readonly probes: Knobs;
  readonly problems: readonly FileProblem[];
}

/** Never throws: what cannot be read or understood is among the problems. */
export function readOptionFile(file: string, isRequired: boolean): FileOptions {
  const read = readBounded(file);
  if ('text' in read) return parseOptionText(read.text, file);
  const isAbsent = read.code === 'ENOENT' || read.code === 'ENOTDIR';
  const problems =
    isAbsent && !isRequired ? [] : [{ file, line: 0, message: `cannot read it: ${read.reason}` }];
  return { texts: new Map(), lists: new Map(), probes: {}, problems };
}

/** The same for text at hand; `file` only names it in problems. */
export function parseOptionText(text: string, file: string): FileOptions {
  const reader = new OptionReader(file);
  try {
    reader.readDocument(text);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    reader.reject('nested too deeply');
  }
  return reader;
}

type ReadResult = { readonly text: string } | { readonly code: string; readonly reason: string };

function readBounded(file: string): ReadResult {
  const bytes = Buffer.alloc(maxFileBytes + 1);
  let length = 0;
  try {
    const fd = openSync(file, 'r');
    try {
      for (let n = 1; n > 0 && length < bytes.length; length += n) {
        n = readSync(fd, bytes, length, bytes.length - length, null);
      }
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    return { code, reason: message };
  }
  if (length > maxFileBytes) {
    return { code: 'EFBIG', reason: `larger than ${maxFileBytes / 1024} KiB` };
  }
  return { text: bytes.toString('utf8', 0, length) };
}

class OptionReader implements FileOptions {
  readonly texts = new Map<string, { text: string; line: number }>();
  readonly lists = new Map<ListOptionPath, { value: unknown; line: number }>();
  readonly probes: Record<string, Record<string, { value: unknown; line: number }>> =
    Object.create(null);
  readonly problems: FileProblem[] = [];
  readonly #file: string;
  readonly #lines = new LineCounter();

  constructor(file: string) {
    this.#file = file;
  }

  readDocument(text: string): void {
    const document = parseDocument(text, {
      lineCounter: this.#lines,
      prettyErrors: false,
      logLevel: 'error',
    });
    for (const error of document.errors) {
      this.#problem(this.#lines.linePos(error.pos[0]).line, error.message);
    }
    if (document.errors.length > 0) return;
    visit(document, {
      Alias: (_key, alias) =>
        this.#problem(this.#lineOf(alias), 'aliases (*name) are not supported'),
    });
    const root = document.contents;
    if (this.problems.length > 0 || isEmpty(root)) return;
    if (isMap(root)) this.#readSection(root, '', document);
    else
      this.#problem(this.#lineOf(root), `options are expected here: ${namesBelow('').join(', ')}`);
  }

  /** What the parser could not even follow, like brackets nested ten thousand deep. */
  reject(message: string): void {
    this.#problem(0, message);
  }

  #readSection(section: YAMLMap, prefix: string, document: Document.Parsed): void {
    for (const { key, value } of section.items) {
      const name = keyOf(key);
      const path = prefix + name;
      const line = this.#lineOf(value ?? key);
      if (!namesBelow(prefix).includes(name)) {
        const allowed = namesBelow(prefix).join(', ');
        this.#problem(
          this.#lineOf(key),
          `${JSON.stringify(path)} is no option; allowed here: ${allowed}`,
        );
      } else if (isEmpty(value)) {
        continue;
      } else if (isListOption(path)) {
        this.lists.set(path, { value: isNode(value) ? value.toJS(document) : value, line });
      } else if (isTextOption(path)) {
        if (isScalar(value)) {
          this.texts.set(path, { text: value.source ?? String(value.value), line });
        } else {
          this.#problem(line, `${path} takes one value; allowed: ${textOptions[path].allowed}`);
        }
      } else if (!isMap(value)) {
        const own = namesBelow(`${path}.`).join(', ') || 'a probe by its name';
        this.#problem(line, `${path} takes options of its own: ${own}`);
      } else if (path === 'probes') {
        this.#readProbes(value);
      } else {
        this.#readSection(value, `${path}.`, document);
      }
    }
  }

  #readProbes(probes: YAMLMap): void {
    for (const { key, value } of probes.items) {
      const probe = keyOf(key);
      if (isEmpty(value)) continue;
      if (isMap(value)) this.probes[probe] = this.#readKnobs(value, probe);
      else this.#problem(this.#lineOf(value), `probes.${probe} takes options of its own`);
    }
  }

  #readKnobs(section: YAMLMap, probe: string): Record<string, { value: unknown; line: number }> {
    const knobs: Record<string, { value: unknown; line: number }> = Object.create(null);
    for (const { key, value } of section.items) {
      const line = this.#lineOf(value ?? key);
      if (isScalar(value)) knobs[keyOf(key)] = { value: value.value, line };
      else this.#problem(line, `probes.${probe}.${keyOf(key)} takes one value`);
    }
    return knobs;
  }

  #lineOf(node: unknown): number {
    return isNode(node) && node.range ? this.#lines.linePos(node.range[0]).line : 0;
  }

  #problem(line: number, message: string): void {
    if (this.problems.length < maxProblems) this.problems.push({ file: this.#file, line, message });
  }
}

function isTextOption(path: string): path is TextOptionPath {
  return Object.hasOwn(textOptions, path);
}

function isListOption(path: string): path is ListOptionPath {
  return Object.hasOwn(listOptions, path);
}

/** An option or section without a value keeps its default. */
function isEmpty(node: unknown): boolean {
  return node === null || node === undefined || (isScalar(node) && node.value === null);
}

function keyOf(key: unknown): string {
  return isScalar(key) ? String(key.value) : '?';
}

/** Names that may stand below a prefix like `sampling.`, or at the top for ''. */
function namesBelow(prefix: string): readonly string[] {
  const paths = [...Object.keys(textOptions), ...Object.keys(listOptions), 'probes'];
  const names = paths
    .filter((path) => path.startsWith(prefix))
    .map((path) => path.slice(prefix.length).split('.')[0]!);
  return [...new Set(names)];
}
