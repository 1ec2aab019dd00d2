// One line that is rewritten each second while the daemon runs on a terminal.

export interface DaemonFigures {
  readonly samplesPerSecond: number;
  readonly processes: number;
  /** Of the samples that were due: captured, idle or known not to have fired, 0..1. */
  readonly accounted: number;
  readonly cpuPercent: number;
  readonly rssBytes: number;
  readonly storeBytes: number;
  readonly flushes: number;
}

export function statusText(figures: DaemonFigures): string {
  const { samplesPerSecond, processes, accounted, cpuPercent, rssBytes, storeBytes, flushes } =
    figures;
  const head = `${samplesPerSecond.toFixed(1)} samples/s · ${processes} processes`;
  const completeness =
    flushes === 0 ? 'first flush pending' : `${(accounted * 100).toFixed(2)} % accounted for`;
  const own = `own CPU ${cpuPercent.toFixed(2)} %, RSS ${(rssBytes / 1e6).toFixed(0)} MB`;
  return `${head} · ${completeness} · ${own} · store ${formatBytes(storeBytes)}`;
}

function formatBytes(bytes: number): string {
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

export class StatusLine {
  readonly #out: NodeJS.WriteStream;
  readonly #timer: NodeJS.Timeout;
  #isShown = false;

  constructor(out: NodeJS.WriteStream, figures: () => DaemonFigures) {
    this.#out = out;
    this.#timer = setInterval(() => this.#show(statusText(figures())), 1000);
    this.#timer.unref();
  }

  /** Clears the line, so that something else can be printed; it comes back at the next second. */
  clear(): void {
    if (this.#isShown) this.#out.write('\r\x1b[K');
    this.#isShown = false;
  }

  stop(): void {
    clearInterval(this.#timer);
    this.clear();
  }

  #show(text: string): void {
    const cut = text.slice(0, Math.max(20, (this.#out.columns ?? 80) - 1));
    this.#out.write(`\r${cut}\x1b[K`);
    this.#isShown = true;
  }
}
