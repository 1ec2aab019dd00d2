// Random histories of a model kernel, delivered per CPU and merged, with a snapshot of /proc in the middle:
// what the table says of images, mappings, threads and lives must be what the kernel did.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EventMerger } from '../../../collector/process/event-merger.js';
import type { SidebandEvent } from '../../../collector/process/sideband-records.js';
import type { Incarnation, ProcessTable } from '../../../collector/process/table.js';
import { seedRandomTests } from '../../support/random.js';
import { fileAt, lost, newTable } from './build.js';
import { ModelKernel } from './model-kernel.js';
import type { ModelImage } from './model-kernel.js';

seedRandomTests('table-model');

const CPUS = 3;
const PAGES = 17;

/** A kernel and a table that sees it through rings of several CPUs. */
class World {
  readonly table: ProcessTable = newTable();
  readonly kernel: ModelKernel;
  readonly dropEvery: number;
  readonly #rings: SidebandEvent[][] = Array.from({ length: CPUS }, () => []);
  readonly #merger = new EventMerger();
  #events = 0;

  constructor(choose: (n: number) => number, dropEvery = 0) {
    this.dropEvery = dropEvery;
    this.kernel = new ModelKernel({
      startNs: -3_000_000_000,
      cpus: CPUS,
      tids: 48,
      choose,
      onEvent: (event, cpu) => this.#record(event, cpu),
      onKey: (key, ns) => this.table.learnExecId(key, ns),
    });
  }

  run(steps: number): void {
    for (let i = 0; i < steps; i++) this.kernel.step();
  }

  /** Reads one ring after the other, while the kernel goes on in between. */
  read(horizonNs: number): void {
    for (const ring of this.#rings) {
      for (const event of ring.splice(0)) this.#merger.add(event);
      this.kernel.step();
    }
    for (const event of this.#merger.read(horizonNs)) this.table.apply(event);
    this.table.advance(horizonNs);
  }

  /** Every process is read, with things happening in between. */
  snapshotAll(stepsBetween: number): void {
    const listed = [...this.kernel.processes.keys()];
    this.table.beginSnapshot(this.kernel.ns);
    this.snapshot(listed, stepsBetween);
    this.table.endSnapshot(this.kernel.ns);
  }

  snapshot(tgids: readonly number[], stepsBetween: number): void {
    for (const tgid of tgids) {
      const beginNs = this.kernel.ns;
      this.run(stepsBetween);
      if (this.kernel.processes.has(tgid)) this.table.addSnapshot(this.kernel.snapshot(tgid, beginNs));
      else this.table.addAbsence(tgid, this.kernel.ns);
    }
  }

  /** Delivers all there is; nothing happens any more. */
  settle(): void {
    for (const ring of this.#rings) for (const event of ring.splice(0)) this.#merger.add(event);
    for (const event of this.#merger.read(Infinity)) this.table.apply(event);
    this.table.advance(Infinity);
  }

  /** Reads again what the table asks for; nothing happens meanwhile. False: it asks for nothing. */
  mend(): boolean {
    const resync = this.table.takeResync();
    if (resync === undefined) return false;
    this.kernel.ns += 1000;
    if (resync === 'all') this.snapshotAll(0);
    else this.snapshot(resync, 0);
    this.settle();
    return true;
  }

  resolve({ key }: ModelImage): Incarnation | undefined {
    return this.table.resolve(key.tgid, key.startBootNs, key.execId);
  }

  #record(event: SidebandEvent, cpu: number): void {
    this.#events++;
    const isDropped = this.dropEvery > 0 && this.#events % this.dropEvery < this.dropEvery / 8;
    this.#rings[cpu]!.push(isDropped ? lost(event.ns) : event);
  }
}

/** What is known of an image must be true; `mustKnow`: all of it is known. */
function checkImage(image: ModelImage, found: Incarnation | undefined, mustKnow: boolean): void {
  const label = `tgid ${image.key.tgid} exec ${image.key.execId}`;
  if (found === undefined) {
    assert.ok(!mustKnow, `${label} is known`);
    return;
  }
  for (let page = 0; page < PAGES; page++) {
    const file = fileAt(found, page);
    const isUnknown = file === '-' && !mustKnow;
    if (!isUnknown) assert.equal(file, image.pages.get(page) ?? '-', `${label} page ${page}`);
  }
  const isNameless = found.comm === '' && !mustKnow;
  if (!isNameless) assert.equal(found.comm, image.comm, label);
  if (found.executable !== '' || mustKnow) assert.equal(found.executable, image.executable, label);
}

function checkLive({ kernel, table }: World): void {
  assert.equal(table.counts.liveProcesses, kernel.processes.size, 'live processes');
  for (const { image, threads } of kernel.processes.values()) {
    const found = table.resolve(image.key.tgid, image.key.startBootNs, image.key.execId);
    checkImage(image, found, true);
    assert.equal(found!.endedNs, Infinity);
    for (const tid of threads) assert.equal(found!.threadName(tid), image.threads.get(tid), `thread ${tid}`);
  }
}

const seeds = fc.integer({ min: 1, max: 2 ** 31 - 1 });

/** Integers in [0, n), from a linear congruential generator: a history is its seed. */
function chooser(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (state * 48_271) % (2 ** 31 - 1);
    return Math.floor((state / (2 ** 31 - 1)) * n);
  };
}

test('whatever the order of delivery, every key finds its image and every address its file', () => {
  fc.assert(fc.property(seeds, fc.nat(60), fc.nat(2), (seed, before, between) => {
    const world = new World(chooser(seed));
    world.run(before);
    const over = world.kernel.images.filter((image) => !world.kernel.isCurrent(image));
    world.kernel.isObserved = true;
    world.run(10);
    world.read(world.kernel.ns - 5_000_000);
    world.snapshotAll(between);
    world.read(world.kernel.ns - 5_000_000);
    for (let i = 0; i < 8; i++) {
      world.run(20);
      world.read(world.kernel.ns - 5_000_000);
    }
    world.settle();
    world.mend();

    const seen = new Map<Incarnation, number>();
    for (const image of world.kernel.images.filter((i) => !over.includes(i))) {
      const found = world.resolve(image);
      checkImage(image, found, !image.isOld);
      if (found === undefined) continue;
      assert.ok((seen.get(found) ?? image.id) === image.id, 'two images are not taken for one');
      seen.set(found, image.id);
    }
    checkLive(world);
    assert.equal(world.table.takeResync(), undefined);
    const counts = world.table.counts;
    world.table.expire(world.kernel.ns + 1);
    assert.equal(world.table.counts.images, world.kernel.processes.size, 'only live images are kept');
    const liveThreads = [...world.kernel.processes.values()].flatMap((p) => [...p.threads]);
    assert.equal(world.table.counts.threads, liveThreads.length);
    assert.equal(counts.missedExecs, 0);
  }));
});

test('after losses, reading /proc again makes the table true', () => {
  fc.assert(fc.property(seeds, fc.integer({ min: 8, max: 200 }), (seed, dropEvery) => {
    const world = new World(chooser(seed), dropEvery);
    world.run(30);
    world.kernel.isObserved = true;
    world.snapshotAll(0);
    for (let i = 0; i < 6; i++) {
      world.run(20);
      world.read(world.kernel.ns - 5_000_000);
    }
    world.settle();
    for (let round = 0; round < 4; round++) {
      for (const { image } of world.kernel.processes.values()) world.resolve(image);
      if (!world.mend()) break;
    }
    checkLive(world);
  }));
});

test('when all have ended nothing is left', () => {
  fc.assert(fc.property(seeds, (seed) => {
    const world = new World(chooser(seed));
    world.kernel.isObserved = true;
    world.snapshotAll(0);
    world.run(200);
    world.settle();
    world.table.beginSnapshot(world.kernel.ns + 1);
    world.table.endSnapshot(world.kernel.ns + 2);
    world.table.advance(world.kernel.ns + 3);
    world.table.expire(Infinity);
    const { liveProcesses, images, threads, mappings } = world.table.counts;
    assert.deepEqual({ liveProcesses, images, threads, mappings }, {
      liveProcesses: 0, images: 0, threads: 0, mappings: 0,
    });
  }));
});
