// Makes a machine ready, once: system packages, npm packages, build. A second run finds nothing to do and
// is silent.
//   node scripts/setup.mjs           to run flamekeeper
//   node scripts/setup.mjs --test    and its tests
//   node scripts/setup.mjs --interop and those that talk to real servers
//   node scripts/setup.mjs --kernels and those that boot other kernels
//   node scripts/setup.mjs --truth   and bench:truth
//   node scripts/setup.mjs --signals and bench:signals
// Made for Debian 12; elsewhere it looks for the same tools and says what is missing.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from './build.mjs';
import { fetchKernels } from './kernels.mjs';
import { fetchServers, ServersError } from './servers.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const minimumNode = 20;

const always = [
  { package: 'clang', why: 'compiles the BPF programs', isThere: () => hasTool('clang') },
  { package: 'llvm', why: 'strips debug data from them', isThere: () => hasTool('llvm-strip') },
  {
    package: 'libbpf-dev',
    why: 'headers that they include',
    isThere: () => existsSync('/usr/include/bpf/bpf_helpers.h'),
  },
  { package: 'libbpf1', why: 'loads them at run time', isThere: () => hasLibrary('libbpf.so.1') },
];

/** better-sqlite3 is compiled where no prebuilt one can be had. */
const forNpm = [
  { package: 'make', why: 'compiles better-sqlite3', isThere: () => hasTool('make') },
  { package: 'g++', why: 'compiles better-sqlite3', isThere: () => hasTool('g++') },
  {
    package: 'python3',
    why: 'runs node-gyp, which compiles better-sqlite3',
    isThere: () => hasTool('python3'),
  },
];

const forTests = [
  { package: 'gcc', why: 'compiles the programs that tests look at', isThere: () => hasTool('gcc') },
  {
    package: 'libc6-dev',
    why: 'headers that they include',
    isThere: () => existsSync('/usr/include/stdio.h'),
  },
  {
    package: 'binutils',
    why: 'readelf and strip, to check symbols against',
    isThere: () => hasTool('readelf'),
  },
  {
    package: 'bpftool',
    why: 'lists what is in the kernel before and after',
    isThere: () => hasTool('bpftool'),
  },
  { package: 'linux-perf', why: 'perf, to check sample counts against', isThere: () => hasTool('perf') },
  { package: 'fio', why: 'block I/O whose latency is checked', isThere: () => hasTool('fio') },
  { package: 'procps', why: 'ps, top, vmstat, free, to check against', isThere: () => hasTool('pgrep') },
  { package: 'sysstat', why: 'iostat, mpstat, pidstat, sar', isThere: () => hasTool('pidstat') },
  { package: 'openssl', why: 'makes certificates', isThere: () => hasTool('openssl') },
  { package: 'gdb', why: 'walks stacks, to check ours against', isThere: () => hasTool('gdb') },
];

/** Programs whose stacks are compared with gdb's, and what builds them. */
const forSignals = [
  {
    package: 'libbpf-tools',
    why: 'runqlat and biolatency, to compare the cost with',
    isThere: () => existsSync('/usr/sbin/runqlat') && existsSync('/usr/sbin/biolatency'),
  },
];

const forTruth = [
  ...['python3', 'perl', 'bash', 'openssl', 'gzip', 'sqlite3', 'g++', 'rustc'].map((name) => ({
    package: name,
    why: 'its stacks are compared with those that gdb walks',
    isThere: () => hasTool(name),
  })),
  { package: 'golang-go', why: 'builds Go programs of known stacks', isThere: () => hasTool('go') },
];

const forKernels = [
  { package: 'qemu-system-x86', why: 'boots kernels', isThere: () => hasTool('qemu-system-x86_64') },
  { package: 'busybox-static', why: 'starts what runs on them', isThere: () => hasTool('busybox') },
  { package: 'kmod', why: 'finds their modules', isThere: () => hasTool('depmod') },
  { package: 'xz-utils', why: 'unpacks their modules', isThere: () => hasTool('xz') },
];

class SetupError extends Error {}

function main() {
  if (Number(process.versions.node.split('.')[0]) < minimumNode) {
    throw new SetupError(`node ${process.versions.node} is too old: ${minimumNode} or later is needed`);
  }
  const needsNpm = !hasNpmPackages();
  const needsKernels = process.argv.includes('--kernels');
  const wanted = [
    ...always,
    ...(needsNpm ? forNpm : []),
    ...(process.argv.includes('--test') || needsKernels ? forTests : []),
    ...(needsKernels ? forKernels : []),
    ...(process.argv.includes('--truth') ? forTruth : []),
    ...(process.argv.includes('--signals') ? forSignals : []),
  ];
  installSystemPackages(wanted.filter((item) => !item.isThere()));
  if (needsNpm) installNpmPackages();
  if (needsKernels) fetchKernels();
  if (process.argv.includes('--interop')) fetchServers();
  build();
}

function installSystemPackages(missing) {
  if (missing.length === 0) return;
  const names = missing.map((item) => item.package);
  console.log('setup: system packages are missing:');
  for (const item of missing) console.log(`  ${item.package.padEnd(12)} ${item.why}`);
  const install = ['install', '-y', '--no-install-recommends', ...names];
  if (!hasTool('apt-get')) {
    throw new SetupError(
      'there is no apt-get here: install what is named above (Debian names) and run this again',
    );
  }
  if (process.getuid() !== 0) {
    throw new SetupError(
      `only root may install them. Run\n  sudo apt-get update && sudo apt-get ${install.join(' ')}\n` +
        'and then this again.',
    );
  }
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  for (const args of [['update', '-qq'], install]) {
    const { status } = spawnSync('apt-get', args, { env, stdio: 'inherit' });
    if (status !== 0) throw new SetupError(`apt-get ${args.join(' ')} failed`);
  }
}

function installNpmPackages() {
  console.log('setup: npm packages (npm ci)');
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: root, stdio: 'inherit' });
  if (status !== 0) throw new SetupError('npm ci failed');
}

/** Whether node_modules holds what package-lock.json says, and its compiled part fits this node. */
function hasNpmPackages() {
  let installed;
  try {
    installed = JSON.parse(readFileSync(join(root, 'node_modules/.package-lock.json'), 'utf8')).packages;
  } catch {
    return false;
  }
  const locked = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const isCurrent = Object.entries(locked).every(([path, { version, optional }]) => {
    return (
      path === '' || (installed[path] === undefined ? optional === true : installed[path].version === version)
    );
  });
  return isCurrent && canOpenDatabase();
}

function canOpenDatabase() {
  try {
    const Database = createRequire(join(root, 'package.json'))('better-sqlite3');
    new Database(':memory:').close();
    return true;
  } catch {
    return false;
  }
}

function hasTool(name) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.some((folder) => existsSync(join(folder, name)));
}

/** Looked for where the dynamic linker looks: its cache, else the usual folders. */
function hasLibrary(name) {
  try {
    const ldconfig = ['/sbin/ldconfig', '/usr/sbin/ldconfig'].find((path) => existsSync(path)) ?? 'ldconfig';
    return execFileSync(ldconfig, ['-p'], { encoding: 'utf8' }).includes(`\t${name} `);
  } catch {
    const folders = ['/lib', '/lib64', '/usr/lib', '/usr/lib64', '/usr/local/lib'];
    return folders.some((folder) => existsSync(folder) && readdirSync(folder).includes(name));
  }
}

try {
  main();
} catch (error) {
  if (error instanceof SetupError || error instanceof ServersError)
    console.error(`setup: ${error.message}`);
  // A compiler that failed has said why.
  else if (error.status === undefined) console.error(`setup: ${error.stack}`);
  process.exitCode = 1;
}
