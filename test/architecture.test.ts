// Who may import whom. Rooms are folders; a room may import itself, node, and what its row names. The rules
// are data, and are proven to bite on imports that are not there.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';

/** Room -> rooms it may import. The longest prefix of a path is its room. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  cli: ['collector', 'storage', 'storage/model', 'exporters/formats', 'exporters/push', 'config'],
  collector: [
    'ffi',
    'elf',
    'bpf',
    'storage',
    'storage/model',
    'exporters/formats',
    'exporters/push',
    'config',
  ],
  'exporters/push': ['storage', 'storage/model', 'exporters/formats'],
  'exporters/formats': ['storage/model'],
  storage: ['storage/model'],
  bpf: ['ffi', 'elf', 'storage/model'],
  ffi: [],
  elf: [],
  config: [],
  'storage/model': [],
};

/** Nothing imports these; they may import anything. */
const outermost = ['test', 'bench'];

/** Package -> beginnings of the paths that may import it. */
const packageOwners: Readonly<Record<string, readonly string[]>> = {
  koffi: ['ffi/'],
  'better-sqlite3': ['storage/'],
  commander: ['cli/'],
  'pprof-format': ['exporters/formats/pprof'],
  yaml: ['config/'],
  valibot: ['config/', 'collector/serve/'],
};

interface Import {
  readonly from: string;
  readonly specifier: string;
}

function sourceFiles(): string[] {
  const folders = [...new Set([...Object.keys(mayImport), ...outermost].map((room) => room.split('/')[0]!))];
  return folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => join(folder, name)),
  );
}

/** Static, dynamic, re-exporting and type-only imports of a file's text. */
function importsOf(file: string, text: string): Import[] {
  const code = text.replace(/\/\*[^]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
  const forms = [
    /^\s*(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]/gm,
    /^\s*import\s*['"]([^'"]+)['"]/gm,
    /\b(?:import|require)\(\s*['"]([^'"]+)['"]\s*\)/g,
    /\bnew URL\(\s*['"](\.[^'"]+\.js)['"]\s*,\s*import\.meta\.url\s*\)/g,
  ];
  return forms.flatMap((form) =>
    [...code.matchAll(form)].map((match) => ({ from: file, specifier: match[1]! })),
  );
}

function roomOf(path: string): string | undefined {
  return [...Object.keys(mayImport), ...outermost]
    .filter((room) => path.startsWith(`${room}/`))
    .sort((a, b) => b.length - a.length)[0];
}

function targetOf({ from, specifier }: Import): string {
  return normalize(join(dirname(from), specifier)).replace(/\.js$/, '.ts');
}

/** What is wrong with an import; undefined when it is allowed. */
function violation(imported: Import): string | undefined {
  const { from, specifier } = imported;
  const room = roomOf(from);
  if (room === undefined) return `${from} is in no room`;
  if (specifier.startsWith('node:') || outermost.includes(room)) return undefined;
  if (specifier.startsWith('.')) {
    const target = roomOf(targetOf(imported));
    if (target === room || (target !== undefined && mayImport[room]!.includes(target))) return undefined;
    return `${from} (${room}) imports ${specifier} (${target ?? 'no room'})`;
  }
  const owners = specifier.startsWith('@opentelemetry/')
    ? ['exporters/push/']
    : (packageOwners[specifier] ?? []);
  if (owners.some((owner) => from.startsWith(owner))) return undefined;
  return `${from} imports the package ${specifier}; allowed: ${owners.join(', ') || 'nowhere'}`;
}

/** A path of imports that leads back to its start, or undefined. Types count: they tie rooms together as
 *  well. */
function findCycle(edges: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): string[] | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return undefined;
    path.push(file);
    for (const target of edges.get(file) ?? []) {
      const cycle = visit(target);
      if (cycle !== undefined) return cycle;
    }
    path.pop();
    done.add(file);
    return undefined;
  };
  for (const file of edges.keys()) {
    const cycle = visit(file);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

const files = sourceFiles();
const imports = files.flatMap((file) => importsOf(file, readFileSync(file, 'utf8')));

test('every import goes in an allowed direction', () => {
  assert.ok(imports.length > 100, 'imports were found at all');
  assert.deepEqual(
    imports.map(violation).filter((sentence) => sentence !== undefined),
    [],
  );
});

test('no file imports itself by way of others', () => {
  const edges = new Map<string, string[]>();
  for (const imported of imports) {
    if (!imported.specifier.startsWith('.')) continue;
    edges.set(imported.from, [...(edges.get(imported.from) ?? []), targetOf(imported)]);
  }
  assert.equal(findCycle(edges)?.join(' -> '), undefined);
});

test('forbidden imports would be found', () => {
  const forbidden = [
    ['config/load.ts', `import { x } from '../storage/model/errors.js';`],
    ['storage/store.ts', `import type { X } from '../cli/output.js';`],
    ['storage/model/query.ts', `export { x } from '../store.js';`],
    ['bpf/life.ts', `const x = await import('../collector/front.js');`],
    ['cli/run.ts', `import {\n  execve,\n} from '../ffi/libc.js';`],
    ['exporters/formats/folded.ts', `import { Store } from '../../storage/store.js';`],
    ['collector/front.ts', `import '../test/support/random.js';`],
    ['collector/back.ts', `import Database from 'better-sqlite3';`],
    ['exporters/formats/folded.ts', `import { Profile } from 'pprof-format';`],
    ['cli/flame.ts', `import leftpad from 'leftpad';`],
    ['collector/front.ts', `new Worker(new URL('../cli/back.js', import.meta.url));`],
  ] as const;
  for (const [file, text] of forbidden) {
    const found = importsOf(file, text);
    assert.equal(found.length, 1, text);
    assert.ok(violation(found[0]!) !== undefined, `${file}: ${text}`);
  }
  assert.equal(importsOf('cli/x.ts', `// import x from '../ffi/libc.js'`).length, 0);
  assert.deepEqual(
    findCycle(
      new Map([
        ['a', ['b']],
        ['b', ['c']],
        ['c', ['b']],
      ]),
    ),
    ['b', 'c', 'b'],
  );
});
