// A line on standard error for what takes longer than two seconds, on a
// terminal only; gone when it is done.

const firstAfterMs = 2000;
const againAfterMs = 500;

/** Waits for the work; `what` is said while it lasts. */
export async function withProgress<T>(what: string, work: Promise<T>): Promise<T> {
  const { stderr } = process;
  if (!stderr.isTTY) return work;
  const startMs = performance.now();
  const show = () => {
    const seconds = Math.floor((performance.now() - startMs) / 1000);
    if (seconds * 1000 >= firstAfterMs) stderr.write(`\r${what} (${seconds} s)`);
  };
  const timer = setInterval(show, againAfterMs);
  try {
    return await work;
  } finally {
    clearInterval(timer);
    if (performance.now() - startMs >= firstAfterMs) stderr.write('\r\x1b[K');
  }
}
