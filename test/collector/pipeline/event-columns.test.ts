import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as wire from '../../../bpf/generated/wire.js';
import type { RingOutput } from '../../../bpf/descriptor.js';
import { descriptor } from '../../../bpf/probes/process.js';
import type { StartedImage } from '../../../collector/pipeline/event-columns.js';
import { EventCollector } from '../../../collector/pipeline/event-columns.js';
import type { BtfStruct } from '../../../elf/btf.js';

const u32 = { kind: 'int', sizeBytes: 4, isSigned: false } as const;
const u64 = { kind: 'int', sizeBytes: 8, isSigned: false } as const;
const incarnation: BtfStruct = { name: 'fk_incarnation', sizeBytes: 16, members: [] };

/** What the object's BTF says of the two structs, as far as the descriptor asks. */
const structs: Readonly<Record<string, BtfStruct>> = {
  fk_exit: {
    name: 'fk_exit',
    sizeBytes: wire.FK_EXIT_SIZE,
    members: [
      {
        name: 'incarnation',
        offsetBytes: wire.FK_EXIT_INCARNATION_OFFSET,
        type: {
          kind: 'struct',
          sizeBytes: 16,
          struct: { ...incarnation, members: [{ name: 'tgid', offsetBytes: 8, type: u32 }] },
        },
      },
      { name: 'cgroup', offsetBytes: wire.FK_EXIT_CGROUP_OFFSET, type: u64 },
      { name: 'duration_ns', offsetBytes: wire.FK_EXIT_DURATION_NS_OFFSET, type: u64 },
      { name: 'parent_tgid', offsetBytes: wire.FK_EXIT_PARENT_TGID_OFFSET, type: u32 },
      { name: 'uid', offsetBytes: wire.FK_EXIT_UID_OFFSET, type: u32 },
      { name: 'exit_code', offsetBytes: wire.FK_EXIT_EXIT_CODE_OFFSET, type: u32 },
      { name: 'comm', offsetBytes: wire.FK_EXIT_COMM_OFFSET, type: { kind: 'chars', sizeBytes: 16 } },
    ],
  },
};

const output = descriptor.outputs[0] as RingOutput;
const exitType = output.records.find((record) => record.kind === 'event' && record.struct === 'fk_exit');
assert.ok(exitType?.kind === 'event');
const naming = {
  executable: (tgid: number, startBootNs: number, execId: number) => `/bin/${tgid}-${startBootNs}-${execId}`,
  startUnixMs: (startBootNs: number) => startBootNs / 1e6,
  userName: (uid: number) => `user${uid}`,
  cgroupPath: (id: bigint) => `/group${id}`,
};

function exitRecord(ktimeNs: bigint, part: Partial<wire.FkExit> = {}): DataView {
  const view = new DataView(new ArrayBuffer(wire.FK_EXIT_SIZE));
  wire.encodeFkExit(view, 0, {
    record: { tag: wire.FkRecordTag.FK_RECORD_EXIT, size: wire.FK_EXIT_SIZE, ktime_ns: ktimeNs },
    incarnation: { start_boot_ns: 5_000_000n, tgid: 42, exec_id: 3 },
    cgroup: 6n,
    duration_ns: 2n ** 40n,
    parent_tgid: 1,
    uid: 33,
    exit_code: (3 << 8) | 9,
    pad: 0,
    comm: 'sh',
    ...part,
  });
  return view;
}

function collectorOf(maxEvents: number, onImage: (image: StartedImage) => void = () => undefined): EventCollector {
  assert.ok(exitType?.kind === 'event');
  return new EventCollector([{ ...exitType, startsImage: 'incarnation' }], (name) => structs[name], { maxEvents, onImage });
}

const times = { originKtimeNs: 100n, untilKtimeNs: 1000n };

test('fields become columns as the descriptor says', () => {
  const collector = collectorOf(10);
  assert.ok(collector.append('FK_RECORD_EXIT', exitRecord(250n), 0, wire.FK_EXIT_SIZE));
  const { columns } = collector.take(naming, times);
  const named = Object.fromEntries(collector.stream.fields!.map(({ name }, i) => [name, columns.columns[i]![0]]));
  assert.deepEqual([...columns.timesNs], [150]);
  assert.deepEqual(named, {
    pid: 42,
    start: 5,
    parent: 1,
    comm: 'sh',
    user: 'user33',
    cgroup: '/group6',
    executable: '/bin/42-5000000-3',
    duration: 2 ** 40,
    code: 3,
    signal: 9,
  });
});

test('records later than the flush wait for the next one', () => {
  const collector = collectorOf(10);
  for (const ktimeNs of [200n, 1001n, 999n]) collector.append('FK_RECORD_EXIT', exitRecord(ktimeNs), 0, wire.FK_EXIT_SIZE);
  assert.deepEqual([...collector.take(naming, times).columns.timesNs], [100, 899]);
  assert.deepEqual([...collector.take(naming, { ...times, untilKtimeNs: 2000n }).columns.timesNs], [901]);
});

test('beyond the limit events are counted, not kept; a wrong length or tag is refused', () => {
  const collector = collectorOf(2);
  for (let i = 0; i < 5; i++) collector.append('FK_RECORD_EXIT', exitRecord(200n), 0, wire.FK_EXIT_SIZE);
  const taken = collector.take(naming, times);
  assert.equal(taken.columns.timesNs.length, 2);
  assert.equal(taken.overLimit, 3);
  assert.ok(!collector.append('FK_RECORD_EXIT', exitRecord(200n), 0, wire.FK_EXIT_SIZE - 8));
  assert.ok(!collector.append('FK_RECORD_EXEC', exitRecord(200n), 0, wire.FK_EXIT_SIZE));
});

test('a record that starts an image says which, and when', () => {
  const images: StartedImage[] = [];
  collectorOf(10, (image) => images.push(image)).append('FK_RECORD_EXIT', exitRecord(250n), 0, wire.FK_EXIT_SIZE);
  assert.deepEqual(images, [{ tgid: 42, startBootNs: 5_000_000, execId: 3, ktimeNs: 250n }]);
});
