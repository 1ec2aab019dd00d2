// Written by `npm run gen` from the BTF of bpf/probes/*.bpf.o, not to be edited: a test writes it
// again and compares. Declared in bpf/include/wire.h. u64 and s64 are bigint, char[N] is the text
// before its NUL. A decoder throws a RangeError where the view ends too early; the caller checks
// lengths first.

/** enum fk_file_state */
export const FkFileState = {
  FK_FILE_REQUESTED: 0,
  FK_FILE_READY: 1,
  FK_FILE_NO_TABLE: 2,
  FK_FILE_JIT: 3,
  FK_FILE_MAX: 4,
} as const;
export type FkFileState = (typeof FkFileState)[keyof typeof FkFileState];
/** Index: value of enum fk_file_state. */
export const FK_FILE_STATE_NAMES = [
  'requested',
  'ready',
  'no_table',
  'jit',
] as const;

/** enum fk_fileless */
export const FkFileless = {
  FK_INODE_VDSO: 1,
} as const;
export type FkFileless = (typeof FkFileless)[keyof typeof FkFileless];

/** enum fk_frame_kind */
export const FkFrameKind = {
  FK_FRAME_USER: 0,
  FK_FRAME_KERNEL: 255,
} as const;
export type FkFrameKind = (typeof FkFrameKind)[keyof typeof FkFrameKind];

/** enum fk_limit */
export const FkLimit = {
  FK_STACK_WORDS: 127,
  FK_SAMPLE_TYPES: 8,
  FK_CGROUP_PATH: 256,
  FK_ARGS: 512,
  FK_CODE_SEGMENTS: 4,
  FK_CODE_RANGES: 8,
} as const;
export type FkLimit = (typeof FkLimit)[keyof typeof FkLimit];

/** enum fk_lost */
export const FkLost = {
  FK_LOST_COUNT_MAP_FULL: 0,
  FK_LOST_NO_TASK: 1,
  FK_LOST_MAX: 2,
} as const;
export type FkLost = (typeof FkLost)[keyof typeof FkLost];
/** Index: value of enum fk_lost. */
export const FK_LOST_NAMES = [
  'count_map_full',
  'no_task',
] as const;

/** enum fk_record_tag */
export const FkRecordTag = {
  FK_RECORD_EXEC: 1,
  FK_RECORD_EXEC_ARGS: 2,
  FK_RECORD_EXIT: 3,
  FK_RECORD_CGROUP: 4,
  FK_RECORD_FILE: 5,
} as const;
export type FkRecordTag = (typeof FkRecordTag)[keyof typeof FkRecordTag];

/** enum fk_runtime */
export const FkRuntime = {
  FK_RUNTIME_NONE: 0,
  FK_RUNTIME_MAX: 1,
} as const;
export type FkRuntime = (typeof FkRuntime)[keyof typeof FkRuntime];
/** Index: value of enum fk_runtime. */
export const FK_RUNTIME_NAMES = [
  'none',
] as const;

/** enum fk_slot */
export const FkSlot = {
  FK_OCTAVE_SLOTS: 8,
  FK_SLOT_BIAS: 248,
} as const;
export type FkSlot = (typeof FkSlot)[keyof typeof FkSlot];

/** enum fk_stack_end */
export const FkStackEnd = {
  FK_END_COMPLETE: 0,
  FK_END_FP_IMPLAUSIBLE: 1,
  FK_END_READ_FAULT: 2,
  FK_END_DEPTH: 3,
  FK_END_32BIT: 4,
  FK_END_NO_REGISTERS: 5,
  FK_END_STACK_MAP_FULL: 6,
  FK_END_NO_TABLE: 7,
  FK_END_NO_UNWIND_INFO: 8,
  FK_END_GAP: 9,
  FK_END_BAD_RULE: 10,
  FK_END_NO_MAPPING: 11,
  FK_END_JIT_NO_FP: 12,
  FK_END_MAX: 13,
} as const;
export type FkStackEnd = (typeof FkStackEnd)[keyof typeof FkStackEnd];
/** Index: value of enum fk_stack_end. */
export const FK_STACK_END_NAMES = [
  'complete',
  'fp_implausible',
  'read_fault',
  'depth',
  '32bit',
  'no_registers',
  'stack_map_full',
  'no_table',
  'no_unwind_info',
  'gap',
  'bad_rule',
  'no_mapping',
  'jit_no_fp',
] as const;

/** enum fk_stack_id */
export const FkStackId = {
  FK_STACK_NONE: 0,
  FK_STACK_FIRST: 256,
} as const;
export type FkStackId = (typeof FkStackId)[keyof typeof FkStackId];

/** struct fk_cgroup */
export interface FkCgroup {
  readonly record: FkRecord;
  readonly id: bigint;
  readonly path: string;
}
export const FK_CGROUP_SIZE = 280;
export const FK_CGROUP_RECORD_OFFSET = 0;
export const FK_CGROUP_ID_OFFSET = 16;
export const FK_CGROUP_PATH_OFFSET = 24;

export function decodeFkCgroup(view: DataView, offset: number): FkCgroup {
  return {
    record: decodeFkRecord(view, offset),
    id: view.getBigUint64(offset + 16, true),
    path: readText(view, offset + 24, 256),
  };
}

export function encodeFkCgroup(view: DataView, offset: number, value: FkCgroup): void {
  encodeFkRecord(view, offset, value.record);
  view.setBigUint64(offset + 16, value.id, true);
  writeText(view, offset + 24, 256, value.path);
}

/** struct fk_clock */
export interface FkClock {
  readonly anchor_ktime_ns: bigint;
  readonly due: bigint;
  readonly due_before_flip: bigint;
  readonly generation: number;
  readonly generation_before_flip: number;
}
export const FK_CLOCK_SIZE = 32;
export const FK_CLOCK_ANCHOR_KTIME_NS_OFFSET = 0;
export const FK_CLOCK_DUE_OFFSET = 8;
export const FK_CLOCK_DUE_BEFORE_FLIP_OFFSET = 16;
export const FK_CLOCK_GENERATION_OFFSET = 24;
export const FK_CLOCK_GENERATION_BEFORE_FLIP_OFFSET = 28;

export function decodeFkClock(view: DataView, offset: number): FkClock {
  return {
    anchor_ktime_ns: view.getBigUint64(offset, true),
    due: view.getBigUint64(offset + 8, true),
    due_before_flip: view.getBigUint64(offset + 16, true),
    generation: view.getUint32(offset + 24, true),
    generation_before_flip: view.getUint32(offset + 28, true),
  };
}

export function encodeFkClock(view: DataView, offset: number, value: FkClock): void {
  view.setBigUint64(offset, value.anchor_ktime_ns, true);
  view.setBigUint64(offset + 8, value.due, true);
  view.setBigUint64(offset + 16, value.due_before_flip, true);
  view.setUint32(offset + 24, value.generation, true);
  view.setUint32(offset + 28, value.generation_before_flip, true);
}

/** struct fk_code_heaps */
export interface FkCodeHeaps {
  readonly n_ranges: number;
  readonly pad: number;
  readonly ranges: readonly FkCodeRange[];
}
export const FK_CODE_HEAPS_SIZE = 264;
export const FK_CODE_HEAPS_N_RANGES_OFFSET = 0;
export const FK_CODE_HEAPS_PAD_OFFSET = 4;
export const FK_CODE_HEAPS_RANGES_OFFSET = 8;

export function decodeFkCodeHeaps(view: DataView, offset: number): FkCodeHeaps {
  return {
    n_ranges: view.getUint32(offset, true),
    pad: view.getUint32(offset + 4, true),
    ranges: Array.from({ length: 8 }, (_, i) => decodeFkCodeRange(view, offset + 8 + i * 32)),
  };
}

export function encodeFkCodeHeaps(view: DataView, offset: number, value: FkCodeHeaps): void {
  view.setUint32(offset, value.n_ranges, true);
  view.setUint32(offset + 4, value.pad, true);
  for (let i = 0; i < 8; i++) encodeFkCodeRange(view, offset + 8 + i * 32, value.ranges[i]!);
}

/** struct fk_code_range */
export interface FkCodeRange {
  readonly start: bigint;
  readonly limit: bigint;
  readonly cookie: bigint;
  readonly runtime: number;
  readonly pad: number;
}
export const FK_CODE_RANGE_SIZE = 32;
export const FK_CODE_RANGE_START_OFFSET = 0;
export const FK_CODE_RANGE_LIMIT_OFFSET = 8;
export const FK_CODE_RANGE_COOKIE_OFFSET = 16;
export const FK_CODE_RANGE_RUNTIME_OFFSET = 24;
export const FK_CODE_RANGE_PAD_OFFSET = 28;

export function decodeFkCodeRange(view: DataView, offset: number): FkCodeRange {
  return {
    start: view.getBigUint64(offset, true),
    limit: view.getBigUint64(offset + 8, true),
    cookie: view.getBigUint64(offset + 16, true),
    runtime: view.getUint32(offset + 24, true),
    pad: view.getUint32(offset + 28, true),
  };
}

export function encodeFkCodeRange(view: DataView, offset: number, value: FkCodeRange): void {
  view.setBigUint64(offset, value.start, true);
  view.setBigUint64(offset + 8, value.limit, true);
  view.setBigUint64(offset + 16, value.cookie, true);
  view.setUint32(offset + 24, value.runtime, true);
  view.setUint32(offset + 28, value.pad, true);
}

/** struct fk_code_segment */
export interface FkCodeSegment {
  readonly offset: bigint;
  readonly limit: bigint;
  readonly pc_minus_offset: bigint;
}
export const FK_CODE_SEGMENT_SIZE = 24;
export const FK_CODE_SEGMENT_OFFSET_OFFSET = 0;
export const FK_CODE_SEGMENT_LIMIT_OFFSET = 8;
export const FK_CODE_SEGMENT_PC_MINUS_OFFSET_OFFSET = 16;

export function decodeFkCodeSegment(view: DataView, offset: number): FkCodeSegment {
  return {
    offset: view.getBigUint64(offset, true),
    limit: view.getBigUint64(offset + 8, true),
    pc_minus_offset: view.getBigInt64(offset + 16, true),
  };
}

export function encodeFkCodeSegment(view: DataView, offset: number, value: FkCodeSegment): void {
  view.setBigUint64(offset, value.offset, true);
  view.setBigUint64(offset + 8, value.limit, true);
  view.setBigInt64(offset + 16, value.pc_minus_offset, true);
}

/** struct fk_exec */
export interface FkExec {
  readonly record: FkRecord;
  readonly incarnation: FkIncarnation;
  readonly cgroup: bigint;
  readonly parent_tgid: number;
  readonly uid: number;
  readonly comm: string;
}
export const FK_EXEC_SIZE = 64;
export const FK_EXEC_RECORD_OFFSET = 0;
export const FK_EXEC_INCARNATION_OFFSET = 16;
export const FK_EXEC_CGROUP_OFFSET = 32;
export const FK_EXEC_PARENT_TGID_OFFSET = 40;
export const FK_EXEC_UID_OFFSET = 44;
export const FK_EXEC_COMM_OFFSET = 48;

export function decodeFkExec(view: DataView, offset: number): FkExec {
  return {
    record: decodeFkRecord(view, offset),
    incarnation: decodeFkIncarnation(view, offset + 16),
    cgroup: view.getBigUint64(offset + 32, true),
    parent_tgid: view.getUint32(offset + 40, true),
    uid: view.getUint32(offset + 44, true),
    comm: readText(view, offset + 48, 16),
  };
}

export function encodeFkExec(view: DataView, offset: number, value: FkExec): void {
  encodeFkRecord(view, offset, value.record);
  encodeFkIncarnation(view, offset + 16, value.incarnation);
  view.setBigUint64(offset + 32, value.cgroup, true);
  view.setUint32(offset + 40, value.parent_tgid, true);
  view.setUint32(offset + 44, value.uid, true);
  writeText(view, offset + 48, 16, value.comm);
}

/** struct fk_exec_args */
export interface FkExecArgs {
  readonly exec: FkExec;
  readonly n_bytes: number;
  readonly pad: number;
  readonly args: string;
}
export const FK_EXEC_ARGS_SIZE = 584;
export const FK_EXEC_ARGS_EXEC_OFFSET = 0;
export const FK_EXEC_ARGS_N_BYTES_OFFSET = 64;
export const FK_EXEC_ARGS_PAD_OFFSET = 68;
export const FK_EXEC_ARGS_ARGS_OFFSET = 72;

export function decodeFkExecArgs(view: DataView, offset: number): FkExecArgs {
  return {
    exec: decodeFkExec(view, offset),
    n_bytes: view.getUint32(offset + 64, true),
    pad: view.getUint32(offset + 68, true),
    args: readText(view, offset + 72, 512),
  };
}

export function encodeFkExecArgs(view: DataView, offset: number, value: FkExecArgs): void {
  encodeFkExec(view, offset, value.exec);
  view.setUint32(offset + 64, value.n_bytes, true);
  view.setUint32(offset + 68, value.pad, true);
  writeText(view, offset + 72, 512, value.args);
}

/** struct fk_exit */
export interface FkExit {
  readonly record: FkRecord;
  readonly incarnation: FkIncarnation;
  readonly cgroup: bigint;
  readonly duration_ns: bigint;
  readonly parent_tgid: number;
  readonly uid: number;
  readonly exit_code: number;
  readonly pad: number;
  readonly comm: string;
}
export const FK_EXIT_SIZE = 80;
export const FK_EXIT_RECORD_OFFSET = 0;
export const FK_EXIT_INCARNATION_OFFSET = 16;
export const FK_EXIT_CGROUP_OFFSET = 32;
export const FK_EXIT_DURATION_NS_OFFSET = 40;
export const FK_EXIT_PARENT_TGID_OFFSET = 48;
export const FK_EXIT_UID_OFFSET = 52;
export const FK_EXIT_EXIT_CODE_OFFSET = 56;
export const FK_EXIT_PAD_OFFSET = 60;
export const FK_EXIT_COMM_OFFSET = 64;

export function decodeFkExit(view: DataView, offset: number): FkExit {
  return {
    record: decodeFkRecord(view, offset),
    incarnation: decodeFkIncarnation(view, offset + 16),
    cgroup: view.getBigUint64(offset + 32, true),
    duration_ns: view.getBigUint64(offset + 40, true),
    parent_tgid: view.getUint32(offset + 48, true),
    uid: view.getUint32(offset + 52, true),
    exit_code: view.getUint32(offset + 56, true),
    pad: view.getUint32(offset + 60, true),
    comm: readText(view, offset + 64, 16),
  };
}

export function encodeFkExit(view: DataView, offset: number, value: FkExit): void {
  encodeFkRecord(view, offset, value.record);
  encodeFkIncarnation(view, offset + 16, value.incarnation);
  view.setBigUint64(offset + 32, value.cgroup, true);
  view.setBigUint64(offset + 40, value.duration_ns, true);
  view.setUint32(offset + 48, value.parent_tgid, true);
  view.setUint32(offset + 52, value.uid, true);
  view.setUint32(offset + 56, value.exit_code, true);
  view.setUint32(offset + 60, value.pad, true);
  writeText(view, offset + 64, 16, value.comm);
}

/** struct fk_file */
export interface FkFile {
  readonly inode: bigint;
  readonly device: number;
  readonly generation: number;
}
export const FK_FILE_SIZE = 16;
export const FK_FILE_INODE_OFFSET = 0;
export const FK_FILE_DEVICE_OFFSET = 8;
export const FK_FILE_GENERATION_OFFSET = 12;

export function decodeFkFile(view: DataView, offset: number): FkFile {
  return {
    inode: view.getBigUint64(offset, true),
    device: view.getUint32(offset + 8, true),
    generation: view.getUint32(offset + 12, true),
  };
}

export function encodeFkFile(view: DataView, offset: number, value: FkFile): void {
  view.setBigUint64(offset, value.inode, true);
  view.setUint32(offset + 8, value.device, true);
  view.setUint32(offset + 12, value.generation, true);
}

/** struct fk_file_request */
export interface FkFileRequest {
  readonly record: FkRecord;
  readonly incarnation: FkIncarnation;
  readonly file: FkFile;
  readonly address: bigint;
  readonly vm_start: bigint;
  readonly vm_limit: bigint;
  readonly file_offset: bigint;
  readonly mtime_ns: bigint;
  readonly size_bytes: bigint;
}
export const FK_FILE_REQUEST_SIZE = 96;
export const FK_FILE_REQUEST_RECORD_OFFSET = 0;
export const FK_FILE_REQUEST_INCARNATION_OFFSET = 16;
export const FK_FILE_REQUEST_FILE_OFFSET = 32;
export const FK_FILE_REQUEST_ADDRESS_OFFSET = 48;
export const FK_FILE_REQUEST_VM_START_OFFSET = 56;
export const FK_FILE_REQUEST_VM_LIMIT_OFFSET = 64;
export const FK_FILE_REQUEST_FILE_OFFSET_OFFSET = 72;
export const FK_FILE_REQUEST_MTIME_NS_OFFSET = 80;
export const FK_FILE_REQUEST_SIZE_BYTES_OFFSET = 88;

export function decodeFkFileRequest(view: DataView, offset: number): FkFileRequest {
  return {
    record: decodeFkRecord(view, offset),
    incarnation: decodeFkIncarnation(view, offset + 16),
    file: decodeFkFile(view, offset + 32),
    address: view.getBigUint64(offset + 48, true),
    vm_start: view.getBigUint64(offset + 56, true),
    vm_limit: view.getBigUint64(offset + 64, true),
    file_offset: view.getBigUint64(offset + 72, true),
    mtime_ns: view.getBigUint64(offset + 80, true),
    size_bytes: view.getBigUint64(offset + 88, true),
  };
}

export function encodeFkFileRequest(view: DataView, offset: number, value: FkFileRequest): void {
  encodeFkRecord(view, offset, value.record);
  encodeFkIncarnation(view, offset + 16, value.incarnation);
  encodeFkFile(view, offset + 32, value.file);
  view.setBigUint64(offset + 48, value.address, true);
  view.setBigUint64(offset + 56, value.vm_start, true);
  view.setBigUint64(offset + 64, value.vm_limit, true);
  view.setBigUint64(offset + 72, value.file_offset, true);
  view.setBigUint64(offset + 80, value.mtime_ns, true);
  view.setBigUint64(offset + 88, value.size_bytes, true);
}

/** struct fk_incarnation */
export interface FkIncarnation {
  readonly start_boot_ns: bigint;
  readonly tgid: number;
  readonly exec_id: number;
}
export const FK_INCARNATION_SIZE = 16;
export const FK_INCARNATION_START_BOOT_NS_OFFSET = 0;
export const FK_INCARNATION_TGID_OFFSET = 8;
export const FK_INCARNATION_EXEC_ID_OFFSET = 12;

export function decodeFkIncarnation(view: DataView, offset: number): FkIncarnation {
  return {
    start_boot_ns: view.getBigUint64(offset, true),
    tgid: view.getUint32(offset + 8, true),
    exec_id: view.getUint32(offset + 12, true),
  };
}

export function encodeFkIncarnation(view: DataView, offset: number, value: FkIncarnation): void {
  view.setBigUint64(offset, value.start_boot_ns, true);
  view.setUint32(offset + 8, value.tgid, true);
  view.setUint32(offset + 12, value.exec_id, true);
}

/** struct fk_octave */
export interface FkOctave {
  readonly counts: readonly bigint[];
  readonly sum_ns: bigint;
}
export const FK_OCTAVE_SIZE = 72;
export const FK_OCTAVE_COUNTS_OFFSET = 0;
export const FK_OCTAVE_SUM_NS_OFFSET = 64;

export function decodeFkOctave(view: DataView, offset: number): FkOctave {
  return {
    counts: Array.from({ length: 8 }, (_, i) => view.getBigUint64(offset + i * 8, true)),
    sum_ns: view.getBigUint64(offset + 64, true),
  };
}

export function encodeFkOctave(view: DataView, offset: number, value: FkOctave): void {
  for (let i = 0; i < 8; i++) view.setBigUint64(offset + i * 8, value.counts[i]!, true);
  view.setBigUint64(offset + 64, value.sum_ns, true);
}

/** struct fk_record */
export interface FkRecord {
  readonly tag: number;
  readonly size: number;
  readonly ktime_ns: bigint;
}
export const FK_RECORD_SIZE = 16;
export const FK_RECORD_TAG_OFFSET = 0;
export const FK_RECORD_SIZE_OFFSET = 4;
export const FK_RECORD_KTIME_NS_OFFSET = 8;

export function decodeFkRecord(view: DataView, offset: number): FkRecord {
  return {
    tag: view.getUint32(offset, true),
    size: view.getUint32(offset + 4, true),
    ktime_ns: view.getBigUint64(offset + 8, true),
  };
}

export function encodeFkRecord(view: DataView, offset: number, value: FkRecord): void {
  view.setUint32(offset, value.tag, true);
  view.setUint32(offset + 4, value.size, true);
  view.setBigUint64(offset + 8, value.ktime_ns, true);
}

/** struct fk_sample_key */
export interface FkSampleKey {
  readonly incarnation: FkIncarnation;
  readonly cgroup: bigint;
  readonly kernel_stack: bigint;
  readonly user_stack: bigint;
  readonly tid: number;
  readonly uid: number;
  readonly sample_type: number;
  readonly pad: number;
}
export const FK_SAMPLE_KEY_SIZE = 56;
export const FK_SAMPLE_KEY_INCARNATION_OFFSET = 0;
export const FK_SAMPLE_KEY_CGROUP_OFFSET = 16;
export const FK_SAMPLE_KEY_KERNEL_STACK_OFFSET = 24;
export const FK_SAMPLE_KEY_USER_STACK_OFFSET = 32;
export const FK_SAMPLE_KEY_TID_OFFSET = 40;
export const FK_SAMPLE_KEY_UID_OFFSET = 44;
export const FK_SAMPLE_KEY_SAMPLE_TYPE_OFFSET = 48;
export const FK_SAMPLE_KEY_PAD_OFFSET = 52;

export function decodeFkSampleKey(view: DataView, offset: number): FkSampleKey {
  return {
    incarnation: decodeFkIncarnation(view, offset),
    cgroup: view.getBigUint64(offset + 16, true),
    kernel_stack: view.getBigUint64(offset + 24, true),
    user_stack: view.getBigUint64(offset + 32, true),
    tid: view.getUint32(offset + 40, true),
    uid: view.getUint32(offset + 44, true),
    sample_type: view.getUint32(offset + 48, true),
    pad: view.getUint32(offset + 52, true),
  };
}

export function encodeFkSampleKey(view: DataView, offset: number, value: FkSampleKey): void {
  encodeFkIncarnation(view, offset, value.incarnation);
  view.setBigUint64(offset + 16, value.cgroup, true);
  view.setBigUint64(offset + 24, value.kernel_stack, true);
  view.setBigUint64(offset + 32, value.user_stack, true);
  view.setUint32(offset + 40, value.tid, true);
  view.setUint32(offset + 44, value.uid, true);
  view.setUint32(offset + 48, value.sample_type, true);
  view.setUint32(offset + 52, value.pad, true);
}

/** struct fk_sample_stats */
export interface FkSampleStats {
  readonly seen: bigint;
  readonly captured: bigint;
  readonly captured_weight: bigint;
  readonly idle: bigint;
  readonly not_fired: bigint;
  readonly lost: readonly bigint[];
}
export const FK_SAMPLE_STATS_SIZE = 56;
export const FK_SAMPLE_STATS_SEEN_OFFSET = 0;
export const FK_SAMPLE_STATS_CAPTURED_OFFSET = 8;
export const FK_SAMPLE_STATS_CAPTURED_WEIGHT_OFFSET = 16;
export const FK_SAMPLE_STATS_IDLE_OFFSET = 24;
export const FK_SAMPLE_STATS_NOT_FIRED_OFFSET = 32;
export const FK_SAMPLE_STATS_LOST_OFFSET = 40;

export function decodeFkSampleStats(view: DataView, offset: number): FkSampleStats {
  return {
    seen: view.getBigUint64(offset, true),
    captured: view.getBigUint64(offset + 8, true),
    captured_weight: view.getBigUint64(offset + 16, true),
    idle: view.getBigUint64(offset + 24, true),
    not_fired: view.getBigInt64(offset + 32, true),
    lost: Array.from({ length: 2 }, (_, i) => view.getBigUint64(offset + 40 + i * 8, true)),
  };
}

export function encodeFkSampleStats(view: DataView, offset: number, value: FkSampleStats): void {
  view.setBigUint64(offset, value.seen, true);
  view.setBigUint64(offset + 8, value.captured, true);
  view.setBigUint64(offset + 16, value.captured_weight, true);
  view.setBigUint64(offset + 24, value.idle, true);
  view.setBigInt64(offset + 32, value.not_fired, true);
  for (let i = 0; i < 2; i++) view.setBigUint64(offset + 40 + i * 8, value.lost[i]!, true);
}

/** struct fk_stack */
export interface FkStack {
  readonly n_words: number;
  readonly end: number;
  readonly pad: readonly number[];
  readonly words: readonly bigint[];
}
export const FK_STACK_SIZE = 1024;
export const FK_STACK_N_WORDS_OFFSET = 0;
export const FK_STACK_END_OFFSET = 2;
export const FK_STACK_PAD_OFFSET = 3;
export const FK_STACK_WORDS_OFFSET = 8;

export function decodeFkStack(view: DataView, offset: number): FkStack {
  return {
    n_words: view.getUint16(offset, true),
    end: view.getUint8(offset + 2),
    pad: Array.from({ length: 5 }, (_, i) => view.getUint8(offset + 3 + i)),
    words: Array.from({ length: 127 }, (_, i) => view.getBigUint64(offset + 8 + i * 8, true)),
  };
}

export function encodeFkStack(view: DataView, offset: number, value: FkStack): void {
  view.setUint16(offset, value.n_words, true);
  view.setUint8(offset + 2, value.end);
  for (let i = 0; i < 5; i++) view.setUint8(offset + 3 + i, value.pad[i]!);
  for (let i = 0; i < 127; i++) view.setBigUint64(offset + 8 + i * 8, value.words[i]!, true);
}

/** struct fk_unwind_file */
export interface FkUnwindFile {
  readonly state: number;
  readonly table: number;
  readonly levels: number;
  readonly n_segments: number;
  readonly segments: readonly FkCodeSegment[];
  readonly last_use_ns: bigint;
}
export const FK_UNWIND_FILE_SIZE = 120;
export const FK_UNWIND_FILE_STATE_OFFSET = 0;
export const FK_UNWIND_FILE_TABLE_OFFSET = 4;
export const FK_UNWIND_FILE_LEVELS_OFFSET = 8;
export const FK_UNWIND_FILE_N_SEGMENTS_OFFSET = 12;
export const FK_UNWIND_FILE_SEGMENTS_OFFSET = 16;
export const FK_UNWIND_FILE_LAST_USE_NS_OFFSET = 112;

export function decodeFkUnwindFile(view: DataView, offset: number): FkUnwindFile {
  return {
    state: view.getUint32(offset, true),
    table: view.getUint32(offset + 4, true),
    levels: view.getUint32(offset + 8, true),
    n_segments: view.getUint32(offset + 12, true),
    segments: Array.from({ length: 4 }, (_, i) => decodeFkCodeSegment(view, offset + 16 + i * 24)),
    last_use_ns: view.getBigUint64(offset + 112, true),
  };
}

export function encodeFkUnwindFile(view: DataView, offset: number, value: FkUnwindFile): void {
  view.setUint32(offset, value.state, true);
  view.setUint32(offset + 4, value.table, true);
  view.setUint32(offset + 8, value.levels, true);
  view.setUint32(offset + 12, value.n_segments, true);
  for (let i = 0; i < 4; i++) encodeFkCodeSegment(view, offset + 16 + i * 24, value.segments[i]!);
  view.setBigUint64(offset + 112, value.last_use_ns, true);
}

/** struct fk_unwind_stats */
export interface FkUnwindStats {
  readonly files_full: bigint;
  readonly request_drops: bigint;
}
export const FK_UNWIND_STATS_SIZE = 16;
export const FK_UNWIND_STATS_FILES_FULL_OFFSET = 0;
export const FK_UNWIND_STATS_REQUEST_DROPS_OFFSET = 8;

export function decodeFkUnwindStats(view: DataView, offset: number): FkUnwindStats {
  return {
    files_full: view.getBigUint64(offset, true),
    request_drops: view.getBigUint64(offset + 8, true),
  };
}

export function encodeFkUnwindStats(view: DataView, offset: number, value: FkUnwindStats): void {
  view.setBigUint64(offset, value.files_full, true);
  view.setBigUint64(offset + 8, value.request_drops, true);
}

/** For those who know a struct by name only. */
export const wireStructs = {
  fk_cgroup: {
    sizeBytes: FK_CGROUP_SIZE,
    decode: decodeFkCgroup,
    encode: encodeFkCgroup,
  },
  fk_clock: {
    sizeBytes: FK_CLOCK_SIZE,
    decode: decodeFkClock,
    encode: encodeFkClock,
  },
  fk_code_heaps: {
    sizeBytes: FK_CODE_HEAPS_SIZE,
    decode: decodeFkCodeHeaps,
    encode: encodeFkCodeHeaps,
  },
  fk_code_range: {
    sizeBytes: FK_CODE_RANGE_SIZE,
    decode: decodeFkCodeRange,
    encode: encodeFkCodeRange,
  },
  fk_code_segment: {
    sizeBytes: FK_CODE_SEGMENT_SIZE,
    decode: decodeFkCodeSegment,
    encode: encodeFkCodeSegment,
  },
  fk_exec: {
    sizeBytes: FK_EXEC_SIZE,
    decode: decodeFkExec,
    encode: encodeFkExec,
  },
  fk_exec_args: {
    sizeBytes: FK_EXEC_ARGS_SIZE,
    decode: decodeFkExecArgs,
    encode: encodeFkExecArgs,
  },
  fk_exit: {
    sizeBytes: FK_EXIT_SIZE,
    decode: decodeFkExit,
    encode: encodeFkExit,
  },
  fk_file: {
    sizeBytes: FK_FILE_SIZE,
    decode: decodeFkFile,
    encode: encodeFkFile,
  },
  fk_file_request: {
    sizeBytes: FK_FILE_REQUEST_SIZE,
    decode: decodeFkFileRequest,
    encode: encodeFkFileRequest,
  },
  fk_incarnation: {
    sizeBytes: FK_INCARNATION_SIZE,
    decode: decodeFkIncarnation,
    encode: encodeFkIncarnation,
  },
  fk_octave: {
    sizeBytes: FK_OCTAVE_SIZE,
    decode: decodeFkOctave,
    encode: encodeFkOctave,
  },
  fk_record: {
    sizeBytes: FK_RECORD_SIZE,
    decode: decodeFkRecord,
    encode: encodeFkRecord,
  },
  fk_sample_key: {
    sizeBytes: FK_SAMPLE_KEY_SIZE,
    decode: decodeFkSampleKey,
    encode: encodeFkSampleKey,
  },
  fk_sample_stats: {
    sizeBytes: FK_SAMPLE_STATS_SIZE,
    decode: decodeFkSampleStats,
    encode: encodeFkSampleStats,
  },
  fk_stack: {
    sizeBytes: FK_STACK_SIZE,
    decode: decodeFkStack,
    encode: encodeFkStack,
  },
  fk_unwind_file: {
    sizeBytes: FK_UNWIND_FILE_SIZE,
    decode: decodeFkUnwindFile,
    encode: encodeFkUnwindFile,
  },
  fk_unwind_stats: {
    sizeBytes: FK_UNWIND_STATS_SIZE,
    decode: decodeFkUnwindStats,
    encode: encodeFkUnwindStats,
  },
} as const;

/** Key and value of each map. An array of maps has `inner`; a ring has neither. */
export const wireMaps = {
  biolatency: {
    in_flight: { key: 'u64', keySizeBytes: 8, value: 'flight', valueSizeBytes: 56 },
    phases: {
      key: 'u32', keySizeBytes: 4,
      inner: { key: 'block_key', keySizeBytes: 32, value: 'fk_octave', valueSizeBytes: 72 },
    },
    phases_0: { key: 'block_key', keySizeBytes: 32, value: 'fk_octave', valueSizeBytes: 72 },
    phases_1: { key: 'block_key', keySizeBytes: 32, value: 'fk_octave', valueSizeBytes: 72 },
    stats: { key: 'u32', keySizeBytes: 4, value: 'block_stats', valueSizeBytes: 80 },
  },
  process: {
    drops: { key: 'u32', keySizeBytes: 4, value: 'u64', valueSizeBytes: 8 },
    events: {},
    exited: { key: 'fk_incarnation', keySizeBytes: 16, value: 'u8', valueSizeBytes: 1 },
  },
  runqlat: {
    cpu_runs: { key: 'u32', keySizeBytes: 4, value: 'cpu_runs', valueSizeBytes: 4184 },
    culprits: {
      key: 'u32', keySizeBytes: 4,
      inner: { key: 'culprit_key', keySizeBytes: 48, value: 'u64', valueSizeBytes: 8 },
    },
    culprits_0: { key: 'culprit_key', keySizeBytes: 48, value: 'u64', valueSizeBytes: 8 },
    culprits_1: { key: 'culprit_key', keySizeBytes: 48, value: 'u64', valueSizeBytes: 8 },
    stats: { key: 'u32', keySizeBytes: 4, value: 'runq_stats', valueSizeBytes: 104 },
    tasks: { key: 's32', keySizeBytes: 4, value: 'runq_task', valueSizeBytes: 96 },
    tasks_hash: { key: 'u32', keySizeBytes: 4, value: 'runq_task', valueSizeBytes: 96 },
    waits: {
      key: 'u32', keySizeBytes: 4,
      inner: { key: 'runq_key', keySizeBytes: 40, value: 'fk_octave', valueSizeBytes: 72 },
    },
    waits_0: { key: 'runq_key', keySizeBytes: 40, value: 'fk_octave', valueSizeBytes: 72 },
    waits_1: { key: 'runq_key', keySizeBytes: 40, value: 'fk_octave', valueSizeBytes: 72 },
  },
  sampler: {
    clocks: { key: 'u32', keySizeBytes: 4, value: 'fk_clock', valueSizeBytes: 32 },
    counts: {
      key: 'u32', keySizeBytes: 4,
      inner: { key: 'fk_sample_key', keySizeBytes: 56, value: 'u64', valueSizeBytes: 8 },
    },
    counts_0: { key: 'fk_sample_key', keySizeBytes: 56, value: 'u64', valueSizeBytes: 8 },
    counts_1: { key: 'fk_sample_key', keySizeBytes: 56, value: 'u64', valueSizeBytes: 8 },
    files: { key: 'fk_file', keySizeBytes: 16, value: 'fk_unwind_file', valueSizeBytes: 120 },
    requests: {},
    stacks: {
      key: 'u32', keySizeBytes: 4,
      inner: { key: 'u64', keySizeBytes: 8, value: 'fk_stack', valueSizeBytes: 1024 },
    },
    stacks_0: { key: 'u64', keySizeBytes: 8, value: 'fk_stack', valueSizeBytes: 1024 },
    stacks_1: { key: 'u64', keySizeBytes: 8, value: 'fk_stack', valueSizeBytes: 1024 },
    stats: { key: 'u32', keySizeBytes: 4, value: 'fk_sample_stats', valueSizeBytes: 56 },
    tables: {
      key: 'u32', keySizeBytes: 4,
      inner: {},
    },
    unwind: { key: 'u32', keySizeBytes: 4, value: 'unwind_state', valueSizeBytes: 1824 },
    unwind_stats: { key: 'u32', keySizeBytes: 4, value: 'fk_unwind_stats', valueSizeBytes: 16 },
  },
} as const;

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

function readText(view: DataView, offset: number, sizeBytes: number): string {
  const bytes = new Uint8Array(view.buffer, view.byteOffset + offset, sizeBytes);
  const nul = bytes.indexOf(0);
  return utf8.decode(nul < 0 ? bytes : bytes.subarray(0, nul));
}

/** What does not fit is cut. */
function writeText(view: DataView, offset: number, sizeBytes: number, text: string): void {
  const bytes = new Uint8Array(view.buffer, view.byteOffset + offset, sizeBytes);
  bytes.fill(0);
  new TextEncoder().encodeInto(text, bytes);
}
