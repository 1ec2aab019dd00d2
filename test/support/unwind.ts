// The way from a file that a stack has met to its unwind table, all in this thread: for tests that load
// the sampler by themselves.

import { setTimeout as sleep } from 'node:timers/promises';
import type { ProbeDescriptor, UnwindOutput } from '../../bpf/descriptor.js';
import type { LoadedProbe } from '../../bpf/loaded-probe.js';
import { descriptor as sampler } from '../../bpf/probes/sampler.js';
import type { UnwindFilesOptions } from '../../collector/host/unwind-files.js';
import { UnwindFiles } from '../../collector/host/unwind-files.js';
import { answerQuestion } from '../../collector/unwind/file-tables.js';
import { defaultFileLimits } from '../../collector/unwind/build-table.js';

const WARM_MS = 10_000;

/** Serves a loaded probe's requests, 100 times a second, as the daemon does; close it before the probe. */
export class LocalUnwindFiles {
  readonly files: UnwindFiles;
  /** Tables built, with what was paid for them. */
  built = 0;
  readonly #timer: NodeJS.Timeout;

  constructor(
    probe: LoadedProbe,
    options: Partial<UnwindFilesOptions> = {},
    from: ProbeDescriptor = sampler,
  ) {
    const output = from.outputs.find((each): each is UnwindOutput => each.kind === 'unwind')!;
    this.files = new UnwindFiles(probe, output, {
      findMapping: () => undefined,
      ask: (question) =>
        setImmediate(() => {
          if (question.kind === 'build-table') this.built++;
          this.files.answered(answerQuestion(question, defaultFileLimits.maxBytes));
        }),
      ...options,
      limits: { cpuShare: 1, ...options.limits },
    });
    this.#timer = setInterval(() => this.files.read(), 10);
  }

  /** Resolves when no file was asked for, and none was on its way, for 200 ms: of a program that is being
   *  sampled, all that its stacks go through has its table then. */
  async settle(): Promise<void> {
    const giveUpMs = performance.now() + WARM_MS;
    for (let quiet = 0, known = -1; quiet < 10; ) {
      if (performance.now() > giveUpMs) throw new Error('files are asked for without end');
      await sleep(20);
      const { files } = this.files.figures;
      quiet = files === known && this.files.pending === 0 ? quiet + 1 : 0;
      known = files;
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.files.close();
  }
}
