// Exec and exit of processes as events, and the paths of new cgroups: process.bpf.c.

import type { EventField, ProbeDescriptor } from '../descriptor.js';

/** Columns of an exec record, which lies at `prefix` of its struct. */
function execFields(prefix: string): EventField[] {
  return [
    { name: 'pid', from: `${prefix}incarnation.tgid`, as: 'number' },
    { name: 'start', from: `${prefix}incarnation`, as: 'startUnixMs', unit: 'milliseconds' },
    { name: 'parent', from: `${prefix}parent_tgid`, as: 'number' },
    { name: 'comm', from: `${prefix}comm`, as: 'text' },
    { name: 'user', from: `${prefix}uid`, as: 'user' },
    { name: 'cgroup', from: `${prefix}cgroup`, as: 'cgroup' },
    { name: 'executable', from: `${prefix}incarnation`, as: 'executable' },
  ];
}

const exitFields: readonly EventField[] = [
  ...execFields(''),
  { name: 'duration', from: 'duration_ns', as: 'number', unit: 'nanoseconds' },
  { name: 'code', from: 'exit_code', as: 'exitStatus' },
  { name: 'signal', from: 'exit_code', as: 'signal' },
];

export const descriptor: ProbeDescriptor = {
  name: 'process',
  summary: 'Tells of every exec and every process that ends, and of new cgroups.',
  hooks: [
    { program: 'process_exec', attach: 'auto', isRequired: true },
    { program: 'process_exit', attach: 'auto', isRequired: true },
    { program: 'cgroup_mkdir', attach: 'auto', isRequired: false },
    { program: 'cgroup_rename', attach: 'auto', isRequired: false },
  ],
  knobs: {
    arguments: {
      help: 'Keep the command line of each exec. Command lines may hold secrets.',
      default: false,
      rodata: 'fk_arguments',
    },
  },
  constants: ['fk_cgroup_hierarchies'],
  outputs: [
    {
      kind: 'ring',
      ring: 'events',
      drops: 'drops',
      records: [
        {
          kind: 'event',
          tag: 'FK_RECORD_EXEC',
          struct: 'fk_exec',
          stream: 'exec',
          valueType: { type: 'exec', unit: 'count' },
          startsImage: 'incarnation',
          fields: execFields(''),
        },
        {
          kind: 'event',
          tag: 'FK_RECORD_EXEC_ARGS',
          struct: 'fk_exec_args',
          stream: 'exec',
          valueType: { type: 'exec', unit: 'count' },
          startsImage: 'exec.incarnation',
          fields: [...execFields('exec.'), { name: 'arguments', from: 'args', as: 'arguments' }],
        },
        {
          kind: 'event',
          tag: 'FK_RECORD_EXIT',
          struct: 'fk_exit',
          stream: 'exit',
          valueType: { type: 'exit', unit: 'count' },
          fields: exitFields,
        },
        { kind: 'cgroup', tag: 'FK_RECORD_CGROUP', struct: 'fk_cgroup' },
      ],
    },
  ],
};
