// Streams that a store may lack: probes can be off, a kernel can lack a file, a window can lie
// before a stream's first bucket. Where several streams make one answer that is no error.

import { OperatingError } from '../storage/model/errors.js';

/** undefined for a stream that the store does not hold, or not of that time. A filter that the
 *  stream has no field for stays an error. */
export async function unlessAbsent<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (!(error instanceof OperatingError)) throw error;
    const isUnknown = error.code === 'usage' && error.message.startsWith('no stream of ');
    if (isUnknown || error.code === 'empty-window') return undefined;
    throw error;
  }
}
