// Names of segment files: seg-<start, UTC>-<n>.db. n counts up through the life of the directory,
// so that it orders segments by age even after the clock was set back.

import { bucketNs, bucketOf, bucketStartUnixNs } from './bucket.js';

const pattern = /^seg-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-(\d{1,9})\.db$/;
const msPerDay = 86_400_000;

export interface SegmentName {
  readonly fileName: string;
  /** Number of the first bucket. */
  readonly startBucket: number;
  readonly n: number;
}

export function segmentName(startBucket: number, n: number): SegmentName {
  const iso = new Date(Number(bucketStartUnixNs(startBucket) / 1_000_000n)).toISOString();
  return { fileName: `seg-${iso.slice(0, 19).replace(/[-:]/g, '')}Z-${n}.db`, startBucket, n };
}

/** undefined when this is no name of a segment. */
export function parseSegmentName(fileName: string): SegmentName | undefined {
  const match = pattern.exec(fileName);
  if (match === null) return undefined;
  const [year, month, day, hour, minute, second, n] = match.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const unixMs = Date.UTC(year, month - 1, day, hour, minute, second);
  return { fileName, startBucket: bucketOf(BigInt(unixMs) * 1_000_000n), n };
}

/** The segments that may hold data of these buckets: a segment ends with its UTC day, or a day
 *  later when the disk was too full to begin the next. */
export function mayHold(name: SegmentName, range: { first: number; last: number }): boolean {
  return (
    name.startBucket <= range.last &&
    range.first < dayEndBucket(name.startBucket) + msPerDay / 10_000
  );
}

/** First bucket of the next UTC day. */
export function dayEndBucket(bucket: number): number {
  const startMs = Number(bucketStartUnixNs(bucket) / 1_000_000n);
  const endMs = (Math.floor(startMs / msPerDay) + 1) * msPerDay;
  return Number((BigInt(endMs) * 1_000_000n) / bucketNs);
}
