// The configurations of docs/backends.md as they stand there, but for what a test must put elsewhere:
// ports, folders, host names, and scrapes that come sooner.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Authority } from '../support/certificates.js';
import { commandPath } from '../support/daemon.js';

/** The fenced blocks below a heading, in their order. */
export function documented(heading: string): string[] {
  const text = readFileSync('docs/backends.md', 'utf8');
  const section = text.split(/^## /m).find((part) => part.startsWith(`${heading}\n`));
  if (section === undefined) throw new Error(`docs/backends.md has no heading ${heading}`);
  return [...section.matchAll(/^```\w+\n([^]*?)^```/gm)].map(([, block]) => block!);
}

/** `ports`: the documented port -> the one to take. Files of /etc lie in `folder`. */
export function place(text: string, folder: string, ports: Readonly<Record<number, number>>): string {
  let placed = text
    .replaceAll('/etc/', `${folder}/`)
    .replaceAll('0.0.0.0', '127.0.0.1')
    .replaceAll(/\b[a-z]+\.example\b/g, 'localhost')
    .replaceAll('scrape_interval: 10s', 'scrape_interval: 2s');
  for (const [from, to] of Object.entries(ports)) placed = placed.replaceAll(`:${from}`, `:${to}`);
  return placed;
}

/** What the documented configurations name below /etc. */
export function writeFiles(folder: string, token: string, authority?: Authority): void {
  for (const [of, tokenName] of [
    ['flamekeeper', 'token'],
    ['otelcol', 'token'],
    ['prometheus', 'flamekeeper.token'],
  ] as const) {
    mkdirSync(join(folder, of));
    writeFileSync(join(folder, of, tokenName), token);
    if (authority === undefined) continue;
    const { certificate, key } = authority.sign(of);
    copyFileSync(authority.certificate, join(folder, of, 'ca.crt'));
    copyFileSync(certificate, join(folder, of, 'tls.crt'));
    copyFileSync(key, join(folder, of, 'tls.key'));
  }
  copyFileSync('config/prometheus-rules.yaml', join(folder, 'prometheus/prometheus-rules.yaml'));
}

/** CPU, waiting for it, and a disk, until the test ends. */
export function keepBusy(t: TestContext, folder: string): void {
  const file = join(folder, 'written');
  const write = `while :; do dd if=/dev/zero of=${file} bs=64k count=8 oflag=direct conv=fsync; sleep 0.1; done`;
  const spin = 'while :; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 0.02; done';
  for (const script of [write, spin, spin]) {
    const child = spawn('sh', ['-c', script], { stdio: 'ignore', detached: true });
    t.after(() => process.kill(-child.pid!, 'SIGKILL'));
  }
}

export interface Latency {
  readonly key: Readonly<Record<string, string>>;
  readonly count: number;
  readonly sumNs: number;
  readonly quantiles: readonly { readonly name: string; readonly valueNs: number }[];
  readonly slots: readonly { readonly upperNs: number; readonly count: number }[];
}

/** `flamekeeper latency SIGNAL --json` of whole buckets, as a user would ask: of block the queue and the
 *  device apart; [] when there is nothing in them. */
export function latencyOf(dir: string, signal: string, firstBucket: number, buckets: number): Latency[] {
  const time = (bucket: number) => new Date(bucket * 10_000).toISOString();
  const window = ['--from', time(firstBucket), '--to', time(firstBucket + buckets)];
  const args = [commandPath, 'latency', signal, '--json', '--data', dir, ...window];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status !== 0 && /the store holds no/.test(stderr)) return [];
  assert.equal(status, 0, stderr);
  return (JSON.parse(stdout) as { parts: Latency[] }).parts;
}
