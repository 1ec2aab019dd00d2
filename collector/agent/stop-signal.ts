// Ctrl-C, SIGTERM or a terminal that closes: the wish to end in good order.

/** One Ctrl-C comes twice under npm: from the terminal, and passed on by npm. */
const SAME_SIGNAL_MS = 1000;

/** Aborted at the first such signal. A later one ends the process at once. */
export function stopSignal(): AbortSignal {
  const stopping = new AbortController();
  let firstMs: number | undefined;
  const onSignal = () => {
    const nowMs = performance.now();
    if (firstMs !== undefined && nowMs - firstMs > SAME_SIGNAL_MS) process.exit(130);
    firstMs ??= nowMs;
    stopping.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  return stopping.signal;
}
