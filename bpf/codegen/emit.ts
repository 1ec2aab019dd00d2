// BTF of the compiled objects -> TypeScript source: constants, interface, decoder and
// encoder of each wire struct, under their names in C. Deterministic: sorted by name,
// nothing of the machine or the time in it.

import type { Btf, BtfEnum, BtfMap, BtfStruct, BtfType } from '../../elf/btf.js';

export interface ProbeTypes {
  /** NAME of NAME.bpf.o. */
  readonly name: string;
  readonly btf: TypeSource;
}

export type TypeSource = Pick<Btf, 'structNames' | 'struct' | 'enumNames' | 'enum' | 'maps'>;

/** What begins so is shared between kernel and TypeScript; every other type is a program's own. */
const wirePrefix = 'fk_';
/** The last entry of an enum that only counts the others. */
const countSuffix = '_MAX';

const head = `// Written by \`npm run gen\` from the BTF of bpf/probes/*.bpf.o, not to be edited: a test writes it
// again and compares. Declared in bpf/include/wire.h. u64 and s64 are bigint, char[N] is the text
// before its NUL. A decoder throws a RangeError where the view ends too early; the caller checks
// lengths first.
`;

/** The whole of bpf/generated/wire.ts. **Errors**: throws where two objects disagree about a type,
 *  or a struct holds what has no wire form. */
export function emitWire(probes: readonly ProbeTypes[]): string {
  const structs = collect(probes, (btf) => btf.structNames(), (btf, name) => btf.struct(name));
  const enums = collect(probes, (btf) => btf.enumNames(), (btf, name) => btf.enum(name));
  return [
    head,
    ...enums.map(emitEnum),
    ...structs.map(emitStruct),
    emitStructTable(structs),
    emitMapTable(probes),
    textHelpers,
  ].join('\n');
}

function collect<T extends { readonly name: string }>(
  probes: readonly ProbeTypes[],
  namesOf: (btf: TypeSource) => string[],
  find: (btf: TypeSource, name: string) => T | undefined,
): T[] {
  const found = new Map<string, T>();
  for (const { name: probe, btf } of probes) {
    for (const name of namesOf(btf).filter((n) => n.startsWith(wirePrefix))) {
      const type = find(btf, name)!;
      const before = found.get(name);
      if (before !== undefined && JSON.stringify(before) !== JSON.stringify(type)) {
        throw new Error(`${probe}.bpf.o has another ${name} than the objects before it`);
      }
      found.set(name, type);
    }
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function emitEnum({ name, values }: BtfEnum): string {
  const type = pascalCase(name);
  const lines = [`/** enum ${name} */`, `export const ${type} = {`];
  for (const value of values) lines.push(`  ${value.name}: ${value.value},`);
  lines.push('} as const;', `export type ${type} = (typeof ${type})[keyof typeof ${type}];`);
  const names = namesByValue({ name, values });
  if (names !== undefined) {
    lines.push(
      `/** Index: value of enum ${name}. */`,
      `export const ${name.toUpperCase()}_NAMES = [`,
    );
    lines.push(...names.map((n) => `  '${n}',`), '] as const;');
  }
  return `${lines.join('\n')}\n`;
}

/** Lower case and without what all begin with; undefined unless the values are 0, 1, 2 ... */
function namesByValue({ values }: BtfEnum): string[] | undefined {
  const named = values.filter((v) => !v.name.endsWith(countSuffix));
  if (named.length === 0 || named.some((v, i) => v.value !== i)) return undefined;
  const words = named.map((v) => v.name.split('_'));
  let common = 0;
  while (words.every((w) => common < w.length - 1 && w[common] === words[0]![common])) common++;
  return words.map((w) => w.slice(common).join('_').toLowerCase());
}

function emitStruct(struct: BtfStruct): string {
  const type = pascalCase(struct.name);
  const constant = struct.name.toUpperCase();
  const lines = [`/** struct ${struct.name} */`, `export interface ${type} {`];
  for (const { name, type } of struct.members) {
    lines.push(`  readonly ${name}: ${typeScriptType(type, `${struct.name}.${name}`)};`);
  }
  lines.push('}', `export const ${constant}_SIZE = ${struct.sizeBytes};`);
  for (const m of struct.members) {
    lines.push(`export const ${constant}_${m.name.toUpperCase()}_OFFSET = ${m.offsetBytes};`);
  }
  lines.push(
    '',
    `export function decode${type}(view: DataView, offset: number): ${type} {`,
    '  return {',
  );
  for (const m of struct.members) {
    lines.push(`    ${m.name}: ${readExpression(m.type, at('offset', m.offsetBytes))},`);
  }
  lines.push('  };', '}', '');
  lines.push(
    `export function encode${type}(view: DataView, offset: number, value: ${type}): void {`,
  );
  for (const m of struct.members) {
    lines.push(`  ${writeStatement(m.type, at('offset', m.offsetBytes), `value.${m.name}`)}`);
  }
  lines.push('}');
  return `${lines.join('\n')}\n`;
}

function typeScriptType(type: BtfType, path: string): string {
  switch (type.kind) {
    case 'int':
      return type.sizeBytes === 8 ? 'bigint' : 'number';
    case 'chars':
      return 'string';
    case 'array':
      return `readonly ${typeScriptType(type.element, path)}[]`;
    case 'struct':
      return pascalCase(type.struct.name);
    case 'other':
      throw new Error(`${path}: ${type.what} has no wire form`);
  }
}

function readExpression(type: BtfType, position: string): string {
  switch (type.kind) {
    case 'int':
      return `view.get${accessorOf(type)}(${position}${littleEndian(type)})`;
    case 'chars':
      return `readText(view, ${position}, ${type.sizeBytes})`;
    case 'array': {
      const element = readExpression(type.element, elementPosition(position, type.element));
      return `Array.from({ length: ${type.length} }, (_, i) => ${element})`;
    }
    case 'struct':
      return `decode${pascalCase(type.struct.name)}(view, ${position})`;
    case 'other':
      throw new Error(`${type.what} has no wire form`);
  }
}

function writeStatement(type: BtfType, position: string, value: string): string {
  switch (type.kind) {
    case 'int':
      return `view.set${accessorOf(type)}(${position}, ${value}${littleEndian(type)});`;
    case 'chars':
      return `writeText(view, ${position}, ${type.sizeBytes}, ${value});`;
    case 'array': {
      const element = writeStatement(
        type.element,
        elementPosition(position, type.element),
        `${value}[i]!`,
      );
      return `for (let i = 0; i < ${type.length}; i++) ${element}`;
    }
    case 'struct':
      return `encode${pascalCase(type.struct.name)}(view, ${position}, ${value});`;
    case 'other':
      throw new Error(`${type.what} has no wire form`);
  }
}

function emitStructTable(structs: readonly BtfStruct[]): string {
  const lines = [
    '/** For those who know a struct by name only. */',
    'export const wireStructs = {',
  ];
  for (const { name } of structs) {
    const type = pascalCase(name);
    lines.push(`  ${name}: {`, `    sizeBytes: ${name.toUpperCase()}_SIZE,`);
    lines.push(`    decode: decode${type},`, `    encode: encode${type},`, '  },');
  }
  return `${[...lines, '} as const;'].join('\n')}\n`;
}

function emitMapTable(probes: readonly ProbeTypes[]): string {
  const lines = [
    '/** Key and value of each map. An array of maps has `inner`; a ring has neither. */',
  ];
  lines.push('export const wireMaps = {');
  for (const { name, btf } of [...probes].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    lines.push(`  ${name}: {`);
    for (const map of btf.maps().sort((a, b) => (a.name < b.name ? -1 : 1))) {
      lines.push(...mapLines(map.name, map, '    '));
    }
    lines.push('  },');
  }
  return `${[...lines, '} as const;'].join('\n')}\n`;
}

function mapLines(name: string, { key, value, inner }: BtfMap, indent: string): string[] {
  const parts = [];
  if (key !== undefined) parts.push(`key: '${cName(key)}', keySizeBytes: ${key.sizeBytes}`);
  if (value !== undefined) {
    parts.push(`value: '${cName(value)}', valueSizeBytes: ${value.sizeBytes}`);
  }
  const line = parts.length === 0 ? '{}' : `{ ${parts.join(', ')} }`;
  if (inner === undefined) return [`${indent}${name}: ${line},`];
  const own = parts.map((part) => `${indent}  ${part},`);
  return [`${indent}${name}: {`, ...own, ...mapLines('inner', inner, `${indent}  `), `${indent}},`];
}

function cName(type: BtfType): string {
  if (type.kind === 'struct') return type.struct.name;
  if (type.kind === 'int') return `${type.isSigned ? 's' : 'u'}${type.sizeBytes * 8}`;
  throw new Error(`a ${type.kind} as key or value of a map`);
}

function accessorOf({ sizeBytes, isSigned }: BtfType & { kind: 'int' }): string {
  return `${sizeBytes === 8 ? 'Big' : ''}${isSigned ? 'Int' : 'Uint'}${sizeBytes * 8}`;
}

/** The last argument of a DataView's accessor; one byte has no order. */
function littleEndian({ sizeBytes }: BtfType): string {
  return sizeBytes === 1 ? '' : ', true';
}

function at(base: string, offsetBytes: number): string {
  return offsetBytes === 0 ? base : `${base} + ${offsetBytes}`;
}

function elementPosition(position: string, { sizeBytes }: BtfType): string {
  return `${position} + i${sizeBytes === 1 ? '' : ` * ${sizeBytes}`}`;
}

function pascalCase(name: string): string {
  return name.replace(/(?:^|_)([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

const textHelpers = `const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

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
`;
