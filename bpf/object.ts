// A BPF object between file and kernel: opened, told which programs and sizes to load with,
// and its maps collected after the load. The maps inside an array of maps are made here
// unless the object brings its own, or they may be of any length: then whoever fills it makes them.

import { CallError } from '../ffi/errno.js';
import {
  closeObject,
  createMap,
  findMap,
  innerMap,
  leaveOutMap,
  lookupElement,
  mapFd,
  mapShape,
  mapsOf,
  openObject,
  programsOf,
  setAutoload,
  setMaxEntries,
  updateElement,
  type MapShape,
  type ObjectHandle,
  type ProgramHandle,
} from '../ffi/libbpf.js';
import { closeFd } from '../ffi/libc.js';
import { assert, OperatingError } from '../storage/model/errors.js';
import { readFdInfo } from './fd-info.js';
import { BPF_F_INNER_MAP, BpfMap, mapType, u32Bytes } from './map.js';
import { writeRodata, type RodataValue } from './rodata.js';

export interface ObjectOptions {
  readonly objectPath: string;
  /** Constants by name. */
  readonly rodata: Readonly<Record<string, RodataValue>>;
  /** By map name. For an array of maps: of each map inside it; those that the object
   *  brings are called NAME_INDEX. */
  readonly maxEntries: Readonly<Record<string, number>>;
}

/** Programs to load, and the maps that only others need. */
export interface ObjectParts {
  readonly programs: readonly string[];
  readonly unneededMaps: readonly string[];
}

export interface ConfiguredObject {
  readonly handle: ObjectHandle;
  /** Those that will be loaded, by name. */
  readonly programs: ReadonlyMap<string, ProgramHandle>;
  /** Those that will not be made. */
  readonly unneededMaps: readonly string[];
  /** Array of maps -> the shape of its maps; libbpf forgets it at the load. */
  readonly innerShapes: ReadonlyMap<string, MapShape>;
}

/** Opens an object so that only the named programs will be loaded. **Errors**: `bpf-failed` when it
 *  cannot be opened; throws CallError. */
export function openConfigured(
  options: ObjectOptions,
  { programs: programNames, unneededMaps }: ObjectParts,
): ConfiguredObject {
  const handle = openBuilt(options.objectPath);
  try {
    const programs = new Map<string, ProgramHandle>();
    for (const program of programsOf(handle)) {
      const isWanted = programNames.includes(program.name);
      setAutoload(program.handle, isWanted);
      if (isWanted) programs.set(program.name, program.handle);
    }
    for (const name of programNames) {
      assert(programs.has(name), `the BPF object has a program ${name}`);
    }
    for (const name of unneededMaps) {
      const map = findMap(handle, name);
      assert(map !== undefined, `the BPF object has a map ${name}`);
      leaveOutMap(map);
    }
    writeRodata(handle, options.rodata);
    for (const [name, entries] of Object.entries(options.maxEntries)) {
      sizeMap(handle, name, entries);
    }
    const innerShapes = new Map<string, MapShape>();
    for (const { name, handle: map } of mapsOf(handle)) {
      const inner = innerMap(map);
      if (inner === undefined) continue;
      const shape = mapShape(inner);
      innerShapes.set(name, { ...shape, maxEntries: options.maxEntries[name] ?? shape.maxEntries });
    }
    return { handle, programs, unneededMaps, innerShapes };
  } catch (error) {
    closeObject(handle);
    throw error;
  }
}

/** Maps inside an array of maps are found by name: libbpf 1.1 crashes when
 *  the template itself is sized. */
function sizeMap(object: ObjectHandle, name: string, entries: number): void {
  const map = findMap(object, name);
  assert(map !== undefined, `the BPF object has a map ${name}`);
  if (innerMap(map) === undefined) return setMaxEntries(map, entries);
  for (let index = 0; index < mapShape(map).maxEntries; index++) {
    const own = findMap(object, `${name}_${index}`);
    if (own !== undefined) setMaxEntries(own, entries);
  }
}

export interface ObjectMaps {
  readonly byName: ReadonlyMap<string, BpfMap>;
  /** Descriptors made here: the object does not close them. */
  readonly ownFds: readonly number[];
}

/** **Errors**: `bpf-failed` for an object that is not there, or is none. */
function openBuilt(path: string): ObjectHandle {
  try {
    return openObject(path);
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    const sentence = `the BPF object ${path} cannot be opened: ${error.errno}`;
    throw new OperatingError(
      'bpf-failed',
      sentence,
      'Install flamekeeper again; in a checkout, `npm run setup` builds it.',
    );
  }
}

/** After the load. **Errors**: throws CallError, and leaves no descriptor open then. */
export function collectMaps(object: ConfiguredObject): ObjectMaps {
  const ownFds: number[] = [];
  try {
    return { byName: collectByName(object, ownFds), ownFds };
  } catch (error) {
    for (const fd of ownFds) closeFd(fd);
    throw error;
  }
}

/** Adds the descriptors it makes to `ownFds`. */
function collectByName(
  { handle, unneededMaps, innerShapes }: ConfiguredObject,
  ownFds: number[],
): Map<string, BpfMap> {
  const byName = new Map<string, BpfMap>();
  const byId = new Map<number, BpfMap>();
  for (const { name, handle: map } of mapsOf(handle)) {
    if (unneededMaps.includes(name)) continue;
    const plain = new BpfMap(name, mapFd(map), mapShape(map));
    byName.set(name, plain);
    byId.set(Number(readFdInfo(plain.fd)['map_id']), plain);
  }
  for (const [name, shape] of innerShapes) {
    const outer = byName.get(name);
    assert(outer?.type === mapType.arrayOfMaps, `map ${name} is an array of maps`);
    if ((shape.flags & BPF_F_INNER_MAP) !== 0) {
      byName.set(name, new BpfMap(name, outer.fd, outer, { innerShape: shape }));
      continue;
    }
    const inner = Array.from({ length: outer.maxEntries }, (_, index) => {
      const present = presentMap(outer, index, byId);
      assert(
        present === undefined || present.maxEntries === shape.maxEntries,
        `map ${index} of ${name} is as large as asked for`,
      );
      if (present !== undefined) return present;
      return makeInner(outer, index, { shape, ownFds });
    });
    byName.set(name, new BpfMap(name, outer.fd, outer, { inner }));
  }
  return byName;
}

function presentMap(
  outer: BpfMap,
  index: number,
  byId: ReadonlyMap<number, BpfMap>,
): BpfMap | undefined {
  const id = new Uint32Array(1);
  const isThere = lookupElement(outer.fd, u32Bytes(index), new Uint8Array(id.buffer));
  return isThere ? byId.get(id[0] ?? 0) : undefined;
}

function makeInner(
  outer: BpfMap,
  index: number,
  { shape, ownFds }: { shape: MapShape; ownFds: number[] },
): BpfMap {
  const name = `${outer.name.slice(0, 12)}_${index}`;
  const fd = createMap(name, shape);
  ownFds.push(fd);
  updateElement(outer.fd, u32Bytes(index), u32Bytes(fd));
  return new BpfMap(name, fd, shape);
}
