// Unwind tables of open files, in the thread that may take its time: what a file is, and then, when
// the budget allows, its table. The descriptors stay the front's. (back)

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { FileIdentified, FileQuestion, TableBuilt } from '../messages.js';
import type { ElfFile, ReadAt } from '../../elf/elf-file.js';
import { readElf, sectionType, segmentType } from '../../elf/elf-file.js';
import { codeSegments } from '../../elf/code-ranges.js';
import { readV8Blob } from '../../elf/v8-blob.js';
import { fileReader, releaseBuffer } from '../symbols/file-reader.js';
import { buildTable } from './build-table.js';

/** Whose bytes, with the headers, are all that a table is made from. */
const tableSections = new Set(['.eh_frame', '.gopclntab', '.data.rel.ro.gopclntab', '.go.module']);
const maxHashedBytes = 64 << 20;
const pieceBytes = 1 << 16;

/** **Limits**: `maxBytes` of a table; see buildTable. */
export function answerQuestion(
  question: FileQuestion,
  maxBytes: number,
): FileIdentified | TableBuilt {
  const { kind, id } = question;
  if (kind === 'identify-file') {
    return { kind: 'file-identified', id, result: identifyFile(question) };
  }
  return { kind: 'table-built', id, ...buildFileTable(question, maxBytes) };
}

/** What the file is, and which others can share its table. */
function identifyFile({ fd, origin }: FileQuestion): FileIdentified['result'] {
  const read = fileReader(fd, origin);
  const file = readElf(read);
  if ('reason' in file) return { reason: 'not-elf' };
  const segments = codeSegments(file);
  if (segments.length === 0) return { reason: 'no-code' };
  const costBytes = file.sections
    .filter(({ name }) => tableSections.has(name))
    .reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return { content: contentHash(read, file), segments, costBytes };
}

/** '' where a table is made from something else than these sections. */
function contentHash(read: ReadAt, file: ElfFile): string {
  const { segments } = file;
  const sections = file.sections.filter(({ name }) => tableSections.has(name));
  const sizeBytes = sections.reduce((sum, section) => sum + section.sizeBytes, 0);
  if (sections.some(({ type }) => type === sectionType.noBits)) return '';
  const hasFrame = sections.some(({ name }) => name === '.eh_frame');
  const isByHeader = !hasFrame && segments.some(({ type }) => type === segmentType.ehFrame);
  if (sections.length === 0 || isByHeader || !(sizeBytes <= maxHashedBytes)) return '';
  const headers = JSON.stringify([file, readV8Blob(read, file)]);
  const hash = createHash('sha256').update(headers);
  for (const section of sections) {
    for (let at = 0; at < section.sizeBytes; at += pieceBytes) {
      const length = Math.min(pieceBytes, section.sizeBytes - at);
      const bytes = read(section.offset + at, length);
      if (bytes.length < length) return '';
      hash.update(bytes);
    }
  }
  return hash.digest('hex');
}

/** Builds the table, and says what that cost. */
function buildFileTable(
  { fd, origin }: FileQuestion,
  maxBytes: number,
): Pick<TableBuilt, 'result' | 'cpuMs'> {
  const startedMs = threadCpuMs();
  const read = fileReader(fd, origin);
  const file = readElf(read);
  const result =
    'reason' in file ? { reason: 'not-elf' as const } : buildTable(read, file, { maxBytes });
  releaseBuffer();
  return { result, cpuMs: Math.max(0, threadCpuMs() - startedMs) };
}

/** What this thread has used. A kernel without schedstat: the time that went by. */
function threadCpuMs(): number {
  try {
    const [onCpuNs] = readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ', 1);
    return Number(onCpuNs) / 1e6;
  } catch {
    return performance.now();
  }
}
