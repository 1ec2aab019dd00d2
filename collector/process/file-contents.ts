// What a mapped file held over time: a name is right for the bytes that were sampled, and a file may be
// written over where it lies, under processes that have it mapped, or be copied up by overlayfs, which
// leaves mappings of before with the old bytes. Each content has an id of its own, by which its symbols
// are read and kept. Pure.
//
//   file      ─── A ────┆──── B ─────────▶     B since its mtime
//   flushes   |    1    |    2    |   3   |
//   named by  A         mixed     B            in a mapping that was there all the time
//             A         A         –            in one that had ended before B
//             –         B         B            in one that came after

export interface FileContent {
  /** Of a module's contents together; never used again. */
  readonly id: number;
  /** See contentStamp; '' when it is not known, undefined when there was more than one. */
  readonly stamp: string | undefined;
}

/** A content as a stack first met it. **Units**: ns of the process table. */
export interface MetContent {
  readonly stamp: string;
  /** The file that the kernel maps: on overlayfs it is one below, and another one after a copy up. */
  readonly file: string;
  readonly mtimeNs: number;
  readonly metNs: number;
}

interface Version extends FileContent {
  readonly file: string;
  readonly sinceNs: number;
  readonly metNs: number;
}

/** Older ones are forgotten. */
const MAX_VERSIONS = 8;

/** What stat(2) says of a file's content. */
export function contentStamp(mtimeNs: bigint, sizeBytes: bigint): string {
  return `${mtimeNs} ${sizeBytes}`;
}

export class FileContents {
  readonly #newId: () => number;
  #versions: readonly Version[];
  #mixed: FileContent | undefined;

  /** A file of which nothing is known; or, under another name, one whose contents are. */
  constructor(newId: () => number, known?: FileContents) {
    const unknown = { stamp: '', file: '', sinceNs: -Infinity, metNs: -Infinity };
    this.#newId = newId;
    const versions = known === undefined ? [unknown] : known.#versions;
    this.#versions = versions.map((each) => ({ ...each, id: newId() }));
  }

  /** A stack met this content. One of the same stamp is the same content. */
  met({ stamp, file, mtimeNs, metNs }: MetContent): void {
    const last = this.#versions.at(-1)!;
    if (last.stamp === '') {
      this.#versions = [{ ...last, stamp, file, metNs }];
      return;
    }
    const known = this.#versions.findLast((version) => version.file === file);
    if (known?.stamp === stamp) return;
    const id = this.#versions.find((version) => version.stamp === stamp)?.id ?? this.#newId();
    // A copy may have been given the time of its source.
    const sinceNs = mtimeNs > last.metNs && mtimeNs <= metNs ? mtimeNs : metNs;
    const [oldest, ...rest] = [...this.#versions, { id, stamp, file, sinceNs, metNs }];
    const next = this.#versions.length < MAX_VERSIONS ? undefined : rest[0];
    this.#versions = next === undefined ? [oldest!, ...rest] : [{ ...next, sinceNs: -Infinity }, ...rest.slice(1)];
  }

  /** What samples of a mapping met, which was there since `addedNs`, and taken from `fromNs` to `toNs`. */
  at(addedNs: number, fromNs: number, toNs: number): FileContent {
    const versions = this.#versions;
    if (versions.length === 1) return versions[0]!;
    const first = versions.findLastIndex(({ sinceNs }) => sinceNs <= addedNs);
    let found = versions[Math.max(0, first)]!;
    const { file } = found;
    for (const version of versions.slice(first + 1)) {
      if (version.file !== file || version.id === found.id) continue;
      if (version.sinceNs >= toNs) break;
      if (version.sinceNs > Math.max(addedNs, fromNs)) return this.#several();
      found = version;
    }
    return found;
  }

  #several(): FileContent {
    this.#mixed ??= { id: this.#newId(), stamp: undefined };
    return this.#mixed;
  }
}
