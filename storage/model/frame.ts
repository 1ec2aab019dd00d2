// Functions: what a frame of a stack shows. A function without a name carries the reason and its
// start in the module, so that a name can be given later.

/** What kind of code a frame is. `cut` is no code: it marks, right below the
 *  root, that a stack ends early. */
export type FrameType = 'native' | 'kernel' | 'cut';

/** Why a frame has no name. */
export type NameReason =
  | 'no-symbols' // the file has no symbol table
  | 'no-match' // the file has symbols, none covers this address
  | 'no-mapping' // no mapping of the process covers the address
  | 'anonymous' // the mapping has no file (JIT code)
  | 'file-gone' // the file could not be found any more
  | 'file-changed' // the file was written over, or replaced: what was sampled is not there any more
  | 'no-permission' // it could not be opened
  | 'not-elf' // the file is no ELF file, or a broken one
  | 'over-budget' // too large, or too many files open at once
  | 'no-kernel-symbols'; // kallsyms could not be read

/** The file behind a mapping. */
export interface Module {
  /** Last part of the path: `node`, `libc.so.6`, `[kernel]`, `[vdso]`; '' when there is no file. */
  readonly name: string;
  /** Path as the process saw it; '' for none. */
  readonly path: string;
  /** `.note.gnu.build-id`, lower-case hex; '' for none. */
  readonly buildId: string;
}

/** Functions are equal when module name, build id, name, file and start are. */
export interface FunctionInfo {
  readonly module: Module;
  readonly frameType: FrameType;
  /** Readable name; '' when it has none, and then `reason` and `start` say which code it was. */
  readonly name: string;
  /** Mangled name where it differs from `name`. */
  readonly systemName?: string;
  readonly file?: string;
  readonly startLine?: number;
  readonly reason?: NameReason;
  /** Unnamed only: bounds of the symbol or FDE, else the 4 KB page, as an
   *  address in the module's file. */
  readonly start?: number;
  /** The name comes from a symbol without a size, taken to reach to the next one. */
  readonly isGuess?: boolean;
}

export const noModule: Module = { name: '', path: '', buildId: '' };
export const kernelModule: Module = { name: '[kernel]', path: '[kernel.kallsyms]', buildId: '' };

/** The marker frame of stacks that end early; `reason` is a stack end's text
 *  ("frame pointer not plausible"). */
export function cutFunction(reason: string): FunctionInfo {
  return { module: noModule, frameType: 'cut', name: reason };
}

/** What a person reads for this frame. Unnamed: `[libfoo.so+0x1000]`, or
 *  `[unknown]` without a module. */
export function functionLabel(fn: FunctionInfo): string {
  if (fn.frameType === 'cut') return `[cut: ${fn.name}]`;
  if (fn.name !== '') return fn.name;
  if (fn.module.name === '') return fn.reason === 'anonymous' ? '[anonymous]' : '[unknown]';
  const base = fn.module.name.startsWith('[') ? fn.module.name.slice(1, -1) : fn.module.name;
  // Kernel addresses are negative as numbers.
  return `[${base}+0x${BigInt.asUintN(64, BigInt(fn.start ?? 0)).toString(16)}]`;
}

/** One string per distinct function, for maps. */
export function functionKey(fn: FunctionInfo): string {
  const { module, name, file = '', start = '', reason = '' } = fn;
  const code = `${fn.frameType}\0${module.name}\0${module.buildId}\0${name}`;
  return `${code}\0${file}\0${start}\0${reason}`;
}
