// Builds what is out of date: TypeScript to dist/, BPF C to dist/bpf/probes/NAME.bpf.o. Sources are
// compared by content, so that a checkout's time stamps do not matter. An installed package holds the
// results and builds nothing.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');
const stampFile = join(dist, '.built.json');
const configFile = 'config/flamekeeper.yaml';

const bpfArchitectures = { x64: 'x86', arm64: 'arm64' };
const clangFlags = [
  '-target',
  'bpf',
  '-mcpu=v2',
  `-D__TARGET_ARCH_${bpfArchitectures[process.arch]}`,
  '-O2',
  '-g',
  '-Wall',
  '-Werror',
  // Without these the object names this folder, and no two builds are equal.
  `-ffile-prefix-map=${root}=.`,
  '-fdebug-compilation-dir=.',
  '-I',
  'bpf/include',
  '-I',
  'dist/bpf/include',
];

/** Brings dist/ up to date and says what it did; silent when nothing was to do. */
export function build() {
  if (!existsSync(join(root, 'tsconfig.json'))) return;
  const rooms = JSON.parse(readFileSync(join(root, 'tsconfig.json'), 'utf8')).include;
  const objects = probeSources().map(objectOf);
  const steps = [
    {
      name: 'objects',
      sources: [...filesBelow('bpf', '.h'), ...probeSources(), 'scripts/build.mjs'],
      outputs: objects,
      make: buildObjects,
    },
    {
      name: 'scripts',
      sources: [...rooms.flatMap((room) => filesBelow(room, '.ts')), 'tsconfig.json', 'package-lock.json'],
      outputs: [join(dist, 'cli/main.js')],
      make: () => buildScripts(rooms),
    },
    { name: 'config', sources: [configFile], outputs: [join(dist, configFile)], make: copyConfig },
  ];
  const stamp = readStamp();
  for (const { name, sources, outputs, make } of steps) {
    const hash = hashOf(sources);
    if (stamp[name] === hash && outputs.every((output) => existsSync(output))) continue;
    make();
    stamp[name] = hash;
    writeFileSync(stampFile, JSON.stringify(stamp));
  }
}

function copyConfig() {
  mkdirSync(dirname(join(dist, configFile)), { recursive: true });
  copyFileSync(join(root, configFile), join(dist, configFile));
}

function buildScripts(rooms) {
  console.log('build: TypeScript');
  execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', '.'], { cwd: root, stdio: 'inherit' });
  for (const room of rooms) removeOrphans(room);
  chmodSync(join(dist, 'cli/main.js'), 0o755);
}

/** Output whose source is gone: a deleted test must not run on. */
function removeOrphans(room) {
  for (const output of filesBelow(join('dist', room), '.js')) {
    const source = output.slice('dist/'.length).replace(/\.js$/, '.ts');
    if (existsSync(join(root, source))) continue;
    rmSync(join(root, output));
    rmSync(join(root, `${output}.map`), { force: true });
  }
}

function buildObjects() {
  const sources = probeSources();
  if (!hasClang()) {
    const missing = sources.filter((source) => !existsSync(objectOf(source)));
    if (missing.length === 0) return;
    throw new Error(`clang is needed to compile ${missing.join(', ')}; \`npm run setup\` installs it`);
  }
  mkdirSync(join(dist, 'bpf/probes'), { recursive: true });
  mkdirSync(join(dist, 'bpf/include'), { recursive: true });
  writeFileSync(join(dist, 'bpf/include/runtimes.h'), runtimesHeader(join(root, 'bpf/runtimes')));
  for (const source of sources) {
    console.log(`build: ${source}`);
    const object = objectOf(source);
    const unfinished = `${object}.${process.pid}.tmp`;
    try {
      execFileSync('clang', [...clangFlags, '-c', source, '-o', unfinished], { cwd: root, stdio: 'inherit' });
      execFileSync('llvm-strip', ['-g', unfinished], { stdio: 'inherit' });
      renameSync(unfinished, object);
    } finally {
      rmSync(unfinished, { force: true });
    }
  }
}

/** What bpf/include/code_heaps.bpf.h needs to know of the runtimes in a folder. */
export function runtimesHeader(folder) {
  const include = join(root, 'bpf/include');
  const names = existsSync(folder)
    ? readdirSync(folder).filter((name) => name.endsWith('.bpf.h')).sort()
    : [];
  const calls = names.map((name) => `RUNTIME(${basename(name, '.bpf.h')})`);
  return [
    ...names.map((name) => `#include "${relative(include, join(folder, name))}"`),
    `#define FK_RUNTIME_COUNT ${names.length}`,
    ['#define FK_RUNTIMES(RUNTIME)', ...calls].join(' '),
    '',
  ].join('\n');
}

function hasClang() {
  try {
    execFileSync('clang', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function probeSources() {
  return filesBelow('bpf/probes', '.bpf.c');
}

function objectOf(source) {
  return join(dist, 'bpf/probes', basename(source).replace(/\.c$/, '.o'));
}

/** Paths below a folder of the checkout, relative to its root, sorted. */
function filesBelow(folder, ending) {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { recursive: true })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name))
    .sort();
}

function hashOf(files) {
  const hash = createHash('sha256');
  for (const file of files)
    hash
      .update(`${file}\0`)
      .update(readFileSync(join(root, file)))
      .update('\0');
  return hash.digest('hex');
}

function readStamp() {
  try {
    return JSON.parse(readFileSync(stampFile, 'utf8'));
  } catch {
    return {};
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    build();
  } catch (error) {
    // A compiler that failed has said why.
    if (error.status === undefined) console.error(`build: ${error.message}`);
    process.exitCode = 1;
  }
}
