// libbpf, found at run time. Every call that can fail goes through check(), which names the
// operation and the errno; libbpf does not test the handles it is given, so a null one would end
// the process: none is let in or out.
// Source: libbpf's <bpf/libbpf.h>, <bpf/bpf.h>, <bpf/btf.h>; version 1.0 and later,
// whose functions return -errno.

import koffi from 'koffi';
import { CallError, LibraryError, errnoName } from './errno.js';
import { lastErrno, libcFunction, type NativeFunction } from './native.js';

const DEFAULT_LIBRARY = 'libbpf.so.1';
const MIN_MAJOR = 1;

/** A pointer that libbpf gave, by what it points to. Never null. */
export type Handle<Kind extends string> = bigint & { readonly handle: Kind };
export type ObjectHandle = Handle<'object'>;
export type ProgramHandle = Handle<'program'>;
export type MapHandle = Handle<'map'>;
export type LinkHandle = Handle<'link'>;

const signatures = {
  libbpf_major_version: ['uint32', []],
  libbpf_minor_version: ['uint32', []],
  libbpf_set_print: ['void *', ['void *']],
  libbpf_num_possible_cpus: ['int', []],
  bpf_object__open: ['void *', ['str']],
  bpf_object__load: ['int', ['void *']],
  bpf_object__close: ['void', ['void *']],
  bpf_object__btf: ['void *', ['void *']],
  bpf_object__next_program: ['void *', ['void *', 'void *']],
  bpf_object__next_map: ['void *', ['void *', 'void *']],
  bpf_object__find_map_by_name: ['void *', ['void *', 'str']],
  bpf_program__name: ['str', ['void *']],
  bpf_program__fd: ['int', ['void *']],
  bpf_program__set_autoload: ['int', ['void *', 'bool']],
  bpf_program__set_log_buf: ['int', ['void *', 'void *', 'size_t']],
  bpf_program__attach: ['void *', ['void *']],
  bpf_link__destroy: ['int', ['void *']],
  bpf_link__fd: ['int', ['void *']],
  bpf_iter_create: ['int', ['int']],
  bpf_map__name: ['str', ['void *']],
  bpf_map__fd: ['int', ['void *']],
  bpf_map__type: ['int', ['void *']],
  bpf_map__key_size: ['uint32', ['void *']],
  bpf_map__value_size: ['uint32', ['void *']],
  bpf_map__max_entries: ['uint32', ['void *']],
  bpf_map__map_flags: ['uint32', ['void *']],
  bpf_map__set_max_entries: ['int', ['void *', 'uint32']],
  bpf_map__set_autocreate: ['int', ['void *', 'bool']],
  bpf_map__inner_map: ['void *', ['void *']],
  bpf_map__initial_value: ['void *', ['void *', 'void *']],
  bpf_map_create: ['int', ['int', 'str', 'uint32', 'uint32', 'uint32', 'void *']],
  bpf_map_lookup_elem: ['int', ['int', 'void *', 'void *']],
  bpf_map_update_elem: ['int', ['int', 'void *', 'void *', 'uint64']],
  bpf_map_delete_elem: ['int', ['int', 'void *']],
  bpf_map_update_batch: ['int', ['int', 'void *', 'void *', 'void *', 'void *']],
  bpf_map_lookup_and_delete_batch: [
    'int',
    ['int', 'void *', 'void *', 'void *', 'void *', 'void *', 'void *'],
  ],
  btf__find_by_name_kind: ['int', ['void *', 'str', 'uint32']],
  btf__type_by_id: ['void *', ['void *', 'uint32']],
  btf__name_by_offset: ['str', ['void *', 'uint32']],
} as const satisfies Record<string, readonly [string, readonly string[]]>;

type Api = Readonly<Record<keyof typeof signatures, NativeFunction>>;

let loaded: Api | undefined;

/** Loads the library at the first call. **Errors**: throws LibraryError. */
function api(): Api {
  return (loaded ??= load(process.env['FLAMEKEEPER_LIBBPF'] ?? DEFAULT_LIBRARY));
}

function load(name: string): Api {
  try {
    const library = koffi.load(name);
    const functions = Object.entries(signatures).map(([symbol, [result, parameters]]) => {
      return [symbol, library.func(symbol, result, [...parameters])] as const;
    });
    const table = Object.fromEntries(functions) as unknown as Api;
    const major = table.libbpf_major_version() as number;
    if (major < MIN_MAJOR) {
      throw new Error(`it is version ${major}, ${MIN_MAJOR} or later is needed`);
    }
    return table;
  } catch (error) {
    throw new LibraryError(name, `${name} cannot be used: ${(error as Error).message}`);
  }
}

/** `1.1`. **Errors**: throws LibraryError. */
export function libbpfVersion(): string {
  const { libbpf_major_version, libbpf_minor_version } = api();
  return `${libbpf_major_version() as number}.${libbpf_minor_version() as number}`;
}

/** Returns what libbpf returned, unless that is an error. */
function check(operation: string, result: number | bigint): number {
  if (result < 0) throw new CallError(operation, errnoName(Number(result)));
  return Number(result);
}

function checkPointer<Kind extends string>(
  operation: string,
  pointer: bigint | null,
): Handle<Kind> {
  if (pointer === null || pointer === 0n) throw new CallError(operation, lastErrno());
  return pointer as Handle<Kind>;
}

// Log

export type LogLevel = 'warn' | 'info' | 'debug';
export type LogSink = (level: LogLevel, line: string) => void;

const levels: readonly LogLevel[] = ['warn', 'info', 'debug'];
const MAX_LOG_BYTES = 1 << 16;

const vsnprintf = libcFunction('vsnprintf', 'int', ['void *', 'size_t', 'void *', 'void *']);
const logText = Buffer.alloc(MAX_LOG_BYTES);
let sink: LogSink = () => {};
let finestLevel = -1;

/** Sends libbpf's own log, one line a call, to `to`: levels as fine as
 *  `finest`. Replaces the sink before.
 *  **Limits**: 64 KB a message, the rest is cut. */
export function setLog(finest: LogLevel, to: LogSink): void {
  const isFirst = finestLevel < 0;
  finestLevel = levels.indexOf(finest);
  sink = to;
  if (!isFirst) return;
  const type = koffi.proto('int', ['int', 'void *', 'void *']);
  api().libbpf_set_print(koffi.register(printLine, koffi.pointer(type)));
}

/** libbpf_print_fn_t. A va_list is passed as a pointer on x86-64 and on aarch64. */
function printLine(level: number, format: unknown, args: unknown): number {
  if (level > finestLevel) return 0;
  const length = Math.min(
    vsnprintf(logText, MAX_LOG_BYTES, format, args) as number,
    MAX_LOG_BYTES - 1,
  );
  for (const line of logText.toString('utf8', 0, Math.max(0, length)).split('\n')) {
    if (line.trim() !== '') sink(levels[level] ?? 'debug', line.replace(/^libbpf: /, ''));
  }
  return 0;
}

// Objects and programs

/** **Errors**: throws CallError: `ENOENT` no such file, `EINVAL` or others:
 *  libbpf's log says what it misses. */
export function openObject(path: string): ObjectHandle {
  return checkPointer(`opening ${path}`, api().bpf_object__open(path) as bigint | null);
}

/** Creates maps, loads programs. **Errors**: throws CallError. */
export function loadObject(object: ObjectHandle): void {
  check('loading the BPF object', api().bpf_object__load(object) as number);
}

/** Ends everything that was loaded, unless something else in the kernel still holds it. */
export function closeObject(object: ObjectHandle): void {
  api().bpf_object__close(object);
}

export interface Named<Kind extends string> {
  readonly name: string;
  readonly handle: Handle<Kind>;
}

export function programsOf(object: ObjectHandle): Named<'program'>[] {
  const { bpf_object__next_program, bpf_program__name } = api();
  return walk<'program'>(object, bpf_object__next_program, bpf_program__name);
}

export function mapsOf(object: ObjectHandle): Named<'map'>[] {
  const { bpf_object__next_map, bpf_map__name } = api();
  return walk<'map'>(object, bpf_object__next_map, bpf_map__name);
}

function walk<Kind extends string>(
  object: ObjectHandle,
  next: NativeFunction,
  nameOf: NativeFunction,
): Named<Kind>[] {
  const found: Named<Kind>[] = [];
  let current = next(object, null) as bigint | null;
  while (current !== null) {
    found.push({ name: nameOf(current) as string, handle: current as Handle<Kind> });
    current = next(object, current) as bigint | null;
  }
  return found;
}

export function setAutoload(program: ProgramHandle, isLoaded: boolean): void {
  check('choosing what to load', api().bpf_program__set_autoload(program, isLoaded) as number);
}

/** The verifier writes its reasoning here when it refuses. Keep `text`
 *  referenced until the load is over. */
export function setVerifierLog(program: ProgramHandle, text: Buffer): void {
  check(
    'setting the verifier log',
    api().bpf_program__set_log_buf(program, text, text.length) as number,
  );
}

export function programFd(program: ProgramHandle): number {
  return check('finding a program', api().bpf_program__fd(program) as number);
}

/** Attaches by the program's section name. **Errors**: throws CallError. */
export function attachProgram(program: ProgramHandle): LinkHandle {
  return checkPointer('attaching', api().bpf_program__attach(program) as bigint | null);
}

/** A descriptor to read, through to its end, from the start of what an attached iterator walks.
 *  **Errors**: throws CallError. */
export function openIterator(link: LinkHandle): number {
  const { bpf_iter_create, bpf_link__fd } = api();
  return check('starting an iterator', bpf_iter_create(bpf_link__fd(link)) as number);
}

export function destroyLink(link: LinkHandle): void {
  api().bpf_link__destroy(link);
}

// Maps

export interface MapShape {
  /** BPF_MAP_TYPE_*. */
  readonly type: number;
  /** **Units**: bytes; so is valueSize. */
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
}

export function mapShape(map: MapHandle): MapShape {
  const functions = api();
  return {
    type: functions.bpf_map__type(map) as number,
    keySize: functions.bpf_map__key_size(map) as number,
    valueSize: functions.bpf_map__value_size(map) as number,
    maxEntries: functions.bpf_map__max_entries(map) as number,
    flags: functions.bpf_map__map_flags(map) as number,
  };
}

export function mapFd(map: MapHandle): number {
  return check('finding a map', api().bpf_map__fd(map) as number);
}

/** `.rodata`, `.bss` and such too. */
export function findMap(object: ObjectHandle, name: string): MapHandle | undefined {
  return (api().bpf_object__find_map_by_name(object, name) as MapHandle | null) ?? undefined;
}

/** What the maps of an array of maps look like; undefined for every other map. */
export function innerMap(map: MapHandle): MapHandle | undefined {
  return (api().bpf_map__inner_map(map) as MapHandle | null) ?? undefined;
}

/** Before the load; never of what innerMap() gave: libbpf 1.1 follows a null pointer there. */
export function setMaxEntries(map: MapHandle, maxEntries: number): void {
  check('sizing a map', api().bpf_map__set_max_entries(map, maxEntries) as number);
}

/** Before the load: the map will not be, and only programs that are not loaded may name it. */
export function leaveOutMap(map: MapHandle): void {
  check('leaving out a map', api().bpf_map__set_autocreate(map, false) as number);
}

/** Memory of a section of globals, writable until the load; undefined
 *  where the kernel cannot have it. */
export function initialValue(map: MapHandle): ArrayBuffer | undefined {
  const size = new BigUint64Array(1);
  const pointer = api().bpf_map__initial_value(map, size) as bigint | null;
  return pointer === null ? undefined : koffi.view(pointer, Number(size[0]));
}

/** **Errors**: throws CallError. */
export function createMap(name: string, shape: MapShape): number {
  const options = new BigUint64Array(8);
  options[0] = BigInt(options.byteLength);
  new Uint32Array(options.buffer)[MAP_FLAGS_WORD] = shape.flags;
  const { type, keySize, valueSize, maxEntries } = shape;
  const fd = api().bpf_map_create(type, name, keySize, valueSize, maxEntries, options) as number;
  return check(`creating map ${name}`, fd);
}

/** struct bpf_map_create_opts { size_t sz; u32 btf_fd, btf_key_type_id, btf_value_type_id,
 *  btf_vmlinux_value_type_id, inner_map_fd, map_flags; ... } */
const MAP_FLAGS_WORD = 7;

/** False when the map has no such key. **Errors**: throws CallError for everything
 *  else; so do the three below. */
export function lookupElement(fd: number, key: Uint8Array, value: Uint8Array): boolean {
  return foundOr('map look-up', api().bpf_map_lookup_elem(fd, key, value) as number);
}

export function updateElement(fd: number, key: Uint8Array, value: Uint8Array): void {
  check('map update', api().bpf_map_update_elem(fd, key, value, 0) as number);
}

export function deleteElement(fd: number, key: Uint8Array): boolean {
  return foundOr('map delete', api().bpf_map_delete_elem(fd, key) as number);
}

function foundOr(operation: string, result: number): boolean {
  const errno = result < 0 ? errnoName(result) : undefined;
  if (errno === 'ENOENT') return false;
  if (errno !== undefined) throw new CallError(operation, errno);
  return true;
}

/** Writes entries, one after the other, in one call. **Shape**: one key and one value each.
 *  **Errors**: throws CallError; what came before the failing one is written. */
export function updateBatch(fd: number, keys: Uint32Array, values: Uint8Array): void {
  const count = Uint32Array.of(keys.length);
  const result = api().bpf_map_update_batch(fd, keys, values, count, null) as number;
  check('filling a map', result);
}

/** Moves up to `count[0]` entries out of a hash map; `count[0]` is then how many came.
 *  **Shape**: `from` and `next` are 8 bytes, opaque; `from` is undefined for the
 *  start. One buffer may be both.
 *  **Errors**: `ENOSPC` as a value: a hash bucket holds more entries than were asked
 *  for. Others throw CallError. */
export function takeBatch(
  fd: number,
  batch: {
    readonly from: Uint8Array | undefined;
    readonly next: Uint8Array;
    readonly keys: Uint8Array;
    readonly values: Uint8Array;
    readonly count: Uint32Array;
  },
): 'more' | 'end' | 'ENOSPC' {
  const { from, next, keys, values, count } = batch;
  const take = api().bpf_map_lookup_and_delete_batch;
  const result = take(fd, from ?? null, next, keys, values, count, null) as number;
  if (result === 0) return 'more';
  const errno = errnoName(result);
  if (errno === 'ENOENT') return 'end';
  if (errno === 'ENOSPC') return errno;
  throw new CallError('emptying a map', errno);
}

/** CPUs the kernel may ever have: a per-CPU map holds a value for each. */
export function possibleCpus(): number {
  return check('counting CPUs', api().libbpf_num_possible_cpus() as number);
}

// Types (BTF) of an open object

const BTF_KIND_DATASEC = 15;
const BTF_TYPE_BYTES = 12;

export interface SectionVariable {
  readonly name: string;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** The variables of a section of globals (`.bss`). libbpf knows the
 *  offsets; in the file they are 0. */
export function sectionVariables(object: ObjectHandle, section: string): SectionVariable[] {
  const functions = api();
  const btf = functions.bpf_object__btf(object) as bigint | null;
  if (btf === null) return [];
  const id = functions.btf__find_by_name_kind(btf, section, BTF_KIND_DATASEC) as number;
  if (id < 0) return [];
  const type = checkPointer(
    `type of ${section}`,
    functions.btf__type_by_id(btf, id) as bigint | null,
  );
  const count = new DataView(koffi.view(type, BTF_TYPE_BYTES)).getUint16(4, true);
  const entries = new DataView(koffi.view(type, BTF_TYPE_BYTES * (count + 1)));
  return Array.from({ length: count }, (_, index) => {
    const at = BTF_TYPE_BYTES * (index + 1);
    const variable = functions.btf__type_by_id(btf, entries.getUint32(at, true)) as bigint | null;
    const nameAt = new DataView(
      koffi.view(checkPointer('type of a variable', variable), BTF_TYPE_BYTES),
    );
    return {
      name: functions.btf__name_by_offset(btf, nameAt.getUint32(0, true)) as string,
      offsetBytes: entries.getUint32(at + 4, true),
      sizeBytes: entries.getUint32(at + 8, true),
    };
  });
}
