// From a mapped file to its table in the kernel: asked for by a BPF program as the sampler does it, answered by
// the product's own code. What the kernel then has is read back from the kernel.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import * as wire from '../../bpf/generated/wire.js';
import type { LoadedProbe } from '../../bpf/loaded-probe.js';
import { descriptor as sampler } from '../../bpf/probes/sampler.js';
import { userDevice } from '../../collector/host/mapped-file.js';
import type { UnwindFilesOptions } from '../../collector/host/unwind-files.js';
import { ModuleTable } from '../../collector/process/modules.js';
import { findRule } from '../../collector/unwind/blocks.js';
import { codeRanges } from '../../elf/code-ranges.js';
import { tableOf } from '../collector/unwind/oracle.js';
import { compileBpf, loadFixture, openMapById, requiredHook, skipReason } from '../support/bpf-fixture.js';
import { LocalUnwindFiles } from '../support/unwind.js';

const skip = skipReason() ?? false;
const { FK_FILE_READY, FK_FILE_NO_TABLE, FK_FILE_JIT, FK_FILE_REQUESTED } = wire.FkFileState;
const libm = '/usr/lib/x86_64-linux-gnu/libm.so.6';
const libz = '/usr/lib/x86_64-linux-gnu/libz.so.1';
const folder = mkdtempSync(join(tmpdir(), 'fk-unwind-files-'));

let object = '';
before(() => {
  if (skip === false) object = compileBpf('file-requests');
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** Maps what it is told, and waits: `file PATH`, `memfd PATH` (of the same content), `shared`, `device`. */
const mapperSource = `
import mmap, os, sys
kept = []
for what in sys.argv[1:]:
  kind, _, path = what.partition(' ')
  if kind == 'file': fd = os.open(path, os.O_RDONLY)
  elif kind == 'device': fd = os.open('/dev/zero', os.O_RDWR)
  elif kind == 'shared': fd = -1
  else:
    fd = os.memfd_create('code')
    os.write(fd, open(path, 'rb').read())
  length = 4096 if path == '' else 0
  sharing = mmap.MAP_SHARED if kind in ('shared', 'memfd') else mmap.MAP_PRIVATE
  kept.append(mmap.mmap(fd, length, sharing, mmap.PROT_READ | mmap.PROT_EXEC))
print('mapped', flush=True)
sys.stdin.read()
`;

interface Place {
  readonly start: number;
  readonly limit: number;
  readonly file: wire.FkFile;
}

class Mapper {
  readonly pid: number;
  readonly #end: () => Promise<unknown>;

  private constructor(pid: number, end: () => Promise<unknown>) {
    this.pid = pid;
    this.#end = end;
  }

  static async start(...what: readonly string[]): Promise<Mapper> {
    const child = spawn('python3', ['-c', mapperSource, ...what], { stdio: ['pipe', 'pipe', 'inherit'] });
    const exited = new Promise((resolve) => child.once('exit', resolve));
    await new Promise((resolve) => child.stdout.once('data', resolve));
    return new Mapper(child.pid!, () => {
      child.stdin.end();
      return exited;
    });
  }

  /** Where it has this mapped executable, as the kernel's own numbers. */
  place(path: string): Place {
    const lines = readFileSync(`/proc/${this.pid}/maps`, 'utf8').split('\n');
    const line = lines.find((text) => / r-x[ps] /.test(text) && text.endsWith(path));
    assert.ok(line !== undefined, `${path} is mapped`);
    const [range = '', , , device = '', inode = ''] = line.split(/ +/);
    const [start = 0, limit = 0] = range.split('-').map((text) => Number.parseInt(text, 16));
    const [major = 0, minor = 0] = device.split(':').map((text) => Number.parseInt(text, 16));
    return { start, limit, file: { inode: BigInt(inode), device: major * 2 ** 20 + minor, generation: 7 } };
  }

  async end(): Promise<void> {
    await this.#end();
  }
}

/** The fixture's maps with the product behind them. */
class Kernel {
  readonly probe: LoadedProbe;
  readonly local: LocalUnwindFiles;

  constructor(options: Partial<UnwindFilesOptions> = {}) {
    const hooks = [requiredHook('enter')];
    this.probe = loadFixture(object, hooks, { maxEntries: { files: 64 } });
    this.probe.openGate();
    this.local = new LocalUnwindFiles(this.probe, options, sampler);
  }

  get tables() {
    return this.local.files.tables;
  }

  /** One stack meets the file. */
  meet(pid: number, { start, limit, file }: Place): void {
    const { globals } = this.probe;
    const u64 = { inode: file.inode, address: BigInt(start), vm_start: BigInt(start), vm_limit: BigInt(limit) };
    const u32 = { tgid: pid, device: file.device, generation: file.generation, asker: process.pid };
    for (const [name, value] of Object.entries(u64)) globals.u64(name)[0] = value;
    for (const [name, value] of Object.entries(u32)) globals.u32(name)[0] = value;
    Atomics.store(globals.u32('asks'), 0, 1);
    while (Atomics.load(globals.u32('asks'), 0) === 1) statSync('/');
  }

  /** The same, and what became of it. */
  async state(pid: number, place: Place): Promise<number | undefined> {
    this.meet(pid, place);
    await this.local.settle();
    return this.tables.state(place.file);
  }

  /** What the kernel has of the file. */
  entry(file: wire.FkFile): wire.FkUnwindFile {
    const key = new Uint8Array(wire.FK_FILE_SIZE);
    wire.encodeFkFile(new DataView(key.buffer), 0, file);
    const value = this.probe.map('files').lookup(key);
    assert.ok(value !== undefined, 'the kernel knows the file');
    return wire.decodeFkUnwindFile(new DataView(value.buffer), 0);
  }

  close(): void {
    this.local.close();
    this.probe.close();
  }
}

async function withKernel(
  what: readonly string[],
  use: (kernel: Kernel, mapper: Mapper) => Promise<void>,
  options: Partial<UnwindFilesOptions> = {},
): Promise<void> {
  const mapper = await Mapper.start(...what);
  const kernel = new Kernel(options);
  try {
    await use(kernel, mapper);
  } finally {
    kernel.close();
    await mapper.end();
  }
}

test('a mapped file gets the table of its bytes, block for block', { skip }, async () => {
  await withKernel([`file ${libm}`], async (kernel, mapper) => {
    const place = mapper.place(libm);
    assert.equal(await kernel.state(mapper.pid, place), FK_FILE_READY);
    const expected = tableOf(libm);
    assert.ok('table' in expected);
    const entry = kernel.entry(place.file);
    const id = new Uint32Array(kernel.probe.map('tables').lookup(Uint8Array.of(entry.table, 0, 0, 0))!.buffer)[0]!;
    const map = openMapById(id, { type: 2, keySize: 4, valueSize: 4096, maxEntries: expected.table.blockCount });
    const blocks = Buffer.concat(
      Array.from({ length: map.maxEntries }, (_, i) => map.lookup(new Uint8Array(Uint32Array.of(i).buffer))!),
    );
    assert.deepEqual(Buffer.compare(blocks, expected.table.blocks), 0);
    assert.equal(entry.levels, expected.table.levels);
    // Code of the file at the place that the table knows it by.
    const [range] = codeRanges(expected.file);
    const [segment] = entry.segments;
    assert.equal(entry.n_segments, 1);
    assert.equal(Number(segment!.offset + segment!.pc_minus_offset), range!.start - expected.table.base);
    assert.equal(Number(segment!.limit - segment!.offset), range!.end - range!.start);
    assert.ok(kernel.tables.bytes >= blocks.length);
    assert.notEqual(findRule(expected.table, range!.start - expected.table.base + 64), undefined);
  });
});

test('files of one content share a table, also when their build ids lie', { skip }, async () => {
  const copy = join(folder, 'copy.so');
  const liar = join(folder, 'liar.so');
  copyFileSync(libm, copy);
  writeFileSync(liar, withBuildIdOf(libz, libm));
  await withKernel([`file ${libm}`, `file ${copy}`, `file ${liar}`], async (kernel, mapper) => {
    assert.equal(await kernel.state(mapper.pid, mapper.place(liar)), FK_FILE_READY);
    assert.equal(await kernel.state(mapper.pid, mapper.place(libm)), FK_FILE_READY);
    assert.equal(await kernel.state(mapper.pid, mapper.place(copy)), FK_FILE_READY);
    const place = (path: string) => kernel.entry(mapper.place(path).file).table;
    assert.equal(place(copy), place(libm));
    assert.notEqual(place(liar), place(libm), 'a file that takes the build id of another has its own');
    assert.equal(kernel.local.built, 2);
    assert.equal(kernel.local.files.figures.tables, 2);
  });
});

test('deleted, in memory, without a file, and the vDSO', { skip }, async () => {
  const gone = join(folder, 'gone.so');
  copyFileSync(libm, gone);
  const what = [`file ${gone}`, `memfd ${libm}`, `memfd ${'/etc/passwd'}`, 'shared', 'device'];
  await withKernel(what, async (kernel, mapper) => {
    unlinkSync(gone);
    assert.equal(await kernel.state(mapper.pid, mapper.place(`${gone} (deleted)`)), FK_FILE_READY);
    assert.equal(await kernel.state(mapper.pid, mapper.place('/dev/zero (deleted)')), FK_FILE_JIT);
    assert.equal(await kernel.state(mapper.pid, mapper.place('/dev/zero')), FK_FILE_JIT);
    const lines = readFileSync(`/proc/${mapper.pid}/maps`, 'utf8').split('\n').filter((line) => line.includes('/memfd:'));
    const inMemory = lines.map((line) => mapper.place(line.slice(line.indexOf(' ') + 1)));
    const states = [];
    for (const place of inMemory) states.push(await kernel.state(mapper.pid, place));
    assert.deepEqual(states.sort(), [FK_FILE_READY, FK_FILE_JIT].sort(), 'a program in a memfd, and other bytes');
    const vdso = { ...mapper.place('[vdso]'), file: { inode: 1n, device: 0, generation: 0 } };
    assert.equal(await kernel.state(mapper.pid, vdso), FK_FILE_READY);
  });
});

test('no ELF file has no table, for good', { skip }, async () => {
  await withKernel(['file /etc/passwd'], async (kernel, mapper) => {
    assert.equal(await kernel.state(mapper.pid, mapper.place('/etc/passwd')), FK_FILE_NO_TABLE);
    kernel.local.files.sweep();
    assert.equal(kernel.tables.state(mapper.place('/etc/passwd').file), FK_FILE_NO_TABLE);
  });
});

test('another file at the path, or at the place, is not taken', { skip }, async () => {
  const path = join(folder, 'replaced.so');
  copyFileSync(libm, path);
  await withKernel([`file ${path}`], async (kernel, mapper) => {
    const place = mapper.place(path);
    copyFileSync(libz, join(folder, 'new.so'));
    renameSync(join(folder, 'new.so'), path);
    assert.equal(await kernel.state(mapper.pid, place), FK_FILE_READY, 'the mapping still holds the old one');
    const expected = tableOf(libm);
    assert.ok('table' in expected);
    assert.equal(kernel.entry(place.file).levels, expected.table.levels);
    const other = { ...place, file: { ...place.file, inode: place.file.inode + 1n } };
    assert.equal(await kernel.state(mapper.pid, other), FK_FILE_REQUESTED, 'asked for again later');
    const elsewhere = { ...place, file: { ...place.file, device: place.file.device + 1 } };
    assert.equal(await kernel.state(mapper.pid, elsewhere), FK_FILE_REQUESTED);
  });
});

test('a process that is gone: its file is asked for again after the next sweep', { skip }, async () => {
  const gone = await Mapper.start(`file ${libm}`);
  const place = gone.place(libm);
  await gone.end();
  await withKernel([`file ${libm}`], async (kernel, mapper) => {
    assert.equal(await kernel.state(gone.pid, place), FK_FILE_REQUESTED);
    assert.equal(await kernel.state(mapper.pid, mapper.place(libm)), FK_FILE_REQUESTED, 'asked for once');
    kernel.local.files.sweep();
    assert.equal(kernel.tables.state(place.file), undefined);
    assert.equal(await kernel.state(mapper.pid, mapper.place(libm)), FK_FILE_READY);
  });
});

test('a process that is gone before its mapping was told of', { skip }, async () => {
  const gone = await Mapper.start(`file ${libm}`);
  const place = gone.place(libm);
  await gone.end();
  const module = new ModuleTable(16).intern({ path: libm, device: '', inode: place.file.inode });
  const mapping = { ...place, fileOffset: 0, module, addedNs: 0, removedNs: Infinity };
  let asked = 0;
  const findMapping = () => (asked++ === 0 ? undefined : mapping);
  await withKernel(
    [],
    async (kernel) => {
      assert.equal(await kernel.state(gone.pid, place), FK_FILE_READY);
      assert.equal(asked, 2);
    },
    { findMapping },
  );
});

//   bytes for one table     libm ready, then idle ─▶ libz needs room ─▶ libm goes, and is asked for anew
test('where bytes run out the idle table goes, entries first, and its file is met anew', { skip }, async () => {
  const sizes = [libm, libz].map((path) => {
    const loaded = tableOf(path);
    return 'table' in loaded ? loaded.table.blocks.length : 0;
  });
  const limits = { maxBytes: Math.max(...sizes), minIdleMs: 300, retryMs: 0 };
  await withKernel([`file ${libm}`, `file ${libz}`], async (kernel, mapper) => {
    const [m, z] = [mapper.place(libm), mapper.place('libz.so.1.2.13')];
    assert.equal(await kernel.state(mapper.pid, m), FK_FILE_READY);
    await sleep(300);
    assert.equal(await kernel.state(mapper.pid, z), FK_FILE_READY);
    assert.equal(kernel.tables.state(m.file), undefined);
    assert.equal(kernel.local.files.figures.evicted, 1);
    // libz is in use: libm has to wait.
    kernel.meet(mapper.pid, m);
    assert.equal(await kernel.state(mapper.pid, m), FK_FILE_REQUESTED);
  }, { limits });
});

test('a full map of files is told, not hidden', { skip }, async () => {
  await withKernel([`file ${libm}`], async (kernel, mapper) => {
    const place = mapper.place(libm);
    assert.equal(await kernel.state(mapper.pid, place), FK_FILE_READY);
    for (let i = 0; i < 64; i++) kernel.tables.setState({ inode: BigInt(1000 + i), device: 1, generation: 0 }, 2);
    assert.equal(kernel.tables.setState({ inode: 5000n, device: 1, generation: 0 }, 2), false);
  });
});

test('device numbers of the kernel and of stat', () => {
  assert.equal(userDevice((8 << 20) | 1), 0x801n);
  assert.equal(userDevice((254 << 20) | 0), 0xfe00n);
  assert.equal(userDevice((259 << 20) | 0x12345), (0x45n | (259n << 8n) | (0x12300n << 12n)));
});

/** `path`, but with the build id of the other. */
function withBuildIdOf(path: string, other: string): Buffer {
  const bytes = readFileSync(path);
  const [mine, theirs] = [path, other].map((each) => {
    const loaded = tableOf(each);
    assert.ok('file' in loaded);
    return Buffer.from(loaded.file.buildId, 'hex');
  });
  bytes.set(theirs!, bytes.indexOf(mine!));
  return bytes;
}
