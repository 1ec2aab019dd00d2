// A daemon of its own for a test: started as a user would start it, on a directory of its own, asked and stopped again.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openQuery } from '../../collector/serve/client.js';
import type { AggregateAnswer, EventRecord, Filter, Query } from '../../storage/model/query.js';

/** The built command line beside the built tests. */
export const commandPath = fileURLToPath(new URL('../../cli/main.js', import.meta.url));
/** Emulated on a busy host, node alone takes a minute to load it. */
const START_MS = 300_000;
const STOP_MS = 60_000;
const ALWAYS = { fromUnixNs: 0n, toUnixNs: 2n ** 62n };

export class TestDaemon {
  readonly dir: string;
  readonly process: ChildProcess;
  stderr = '';

  private constructor(dir: string, process: ChildProcess) {
    this.dir = dir;
    this.process = process;
  }

  /** Resolves once it samples. `args` go behind `run`; `dir` continues an existing store; `environment` is added to ours. */
  static async start(
    args: readonly string[],
    dir = mkdtempSync(join(tmpdir(), 'fk-daemon-')),
    environment: NodeJS.ProcessEnv = {},
  ): Promise<TestDaemon> {
    const env = { ...process.env, ...environment };
    const stdio = ['ignore', 'ignore', 'pipe'] as const;
    const child = spawn(process.execPath, [commandPath, 'run', '--data', dir, ...args], { env, stdio: [...stdio] });
    const daemon = new TestDaemon(dir, child);
    const started = new Promise<void>((resolve, reject) => {
      child.stderr!.setEncoding('utf8').on('data', (text: string) => {
        daemon.stderr += text;
        if (/sampling \d+ CPUs/.test(daemon.stderr)) resolve();
      });
      child.once('exit', () => reject(new Error(`the daemon ended: ${daemon.stderr}`)));
      setTimeout(() => reject(new Error(`the daemon did not start: ${daemon.stderr}`)), START_MS).unref();
    });
    await started.catch((error: unknown) => {
      daemon.remove();
      throw error;
    });
    return daemon;
  }

  get pid(): number {
    return this.process.pid!;
  }

  /** SIGINT, the last flush, exit code 0. */
  async stop(): Promise<void> {
    const exited = once(this.process, 'exit', { signal: AbortSignal.timeout(STOP_MS) });
    this.process.kill('SIGINT');
    const [code] = (await exited) as [number | null];
    assert.equal(code, 0, `the daemon ends well; it said: ${this.stderr}`);
  }

  query(): Promise<Query> {
    return openQuery(this.dir);
  }

  /** Everything the store holds of a stream. */
  async aggregate(filter: Filter = {}, stream = 'cpu'): Promise<AggregateAnswer> {
    const query = await this.query();
    try {
      return await query.aggregate({ windows: [ALWAYS], filter, stream });
    } finally {
      query.close();
    }
  }

  async events(stream: string): Promise<readonly EventRecord[]> {
    const query = await this.query();
    try {
      const answer = await query.events({ window: ALWAYS, filter: {}, stream, limit: 100_000 });
      assert.ok(answer.isComplete, 'all events fit into one answer');
      return answer.events;
    } finally {
      query.close();
    }
  }

  /** Ends the process if it still runs, and removes its directory. */
  remove(): void {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill('SIGKILL');
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Starts a daemon, lets `work` happen, stops it and hands it over for questions; removes it afterwards. */
export async function withDaemon(
  args: readonly string[],
  work: (daemon: TestDaemon) => Promise<void>,
  ask: (daemon: TestDaemon) => Promise<void>,
): Promise<void> {
  const daemon = await TestDaemon.start(args);
  try {
    await work(daemon);
    await daemon.stop();
    await ask(daemon);
  } finally {
    daemon.remove();
  }
}
