// How a client on the local socket asks, and how it is answered.
//
//   request   one line of JSON: {"v":1,"method":"aggregate","params":{...}}    at most 64 KiB; bigint as {"$n":"123"}
//   answer    u32le length | v8 serialization of {ok: true, value} or {ok: false, code, message, hint}
//
// A connection may ask any number of times, one after the other. Requests come from other users of
// the host and are checked by schema; answers come from our own daemon.

import * as v from 'valibot';

export const PROTOCOL_VERSION = 1 as const;
export const MAX_REQUEST_BYTES = 65_536;
/** A client gives up on answers beyond this. */
export const MAX_ANSWER_BYTES = 2 ** 31;

const texts = v.pipe(v.array(v.pipe(v.string(), v.maxLength(4096))), v.maxLength(1000));
const filter = v.strictObject({
  comm: v.exactOptional(texts),
  pid: v.exactOptional(v.pipe(v.array(v.pipe(v.number(), v.integer())), v.maxLength(1000))),
  user: v.exactOptional(texts),
  cgroup: v.exactOptional(texts),
  thread: v.exactOptional(texts),
  device: v.exactOptional(texts),
});
const unixNs = v.pipe(v.bigint(), v.minValue(0n), v.maxValue(2n ** 63n - 1n));
const window = v.strictObject({ fromUnixNs: unixNs, toUnixNs: unixNs });
const streamName = v.pipe(v.string(), v.maxLength(256));

const requestSchema = v.variant('method', [
  v.strictObject({
    v: v.literal(PROTOCOL_VERSION),
    method: v.literal('aggregate'),
    params: v.strictObject({
      windows: v.pipe(v.array(window), v.maxLength(10_000)),
      filter,
      stream: streamName,
    }),
  }),
  v.strictObject({
    v: v.literal(PROTOCOL_VERSION),
    method: v.literal('events'),
    params: v.strictObject({
      window,
      filter,
      stream: streamName,
      cursor: v.exactOptional(v.pipe(v.string(), v.maxLength(1024))),
      limit: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(100_000)),
      atLeast: v.exactOptional(v.record(streamName, v.number())),
    }),
  }),
  v.strictObject({
    v: v.literal(PROTOCOL_VERSION),
    method: v.literal('series'),
    params: v.strictObject({
      window,
      stepNs: unixNs,
      filter,
      stream: streamName,
      by: v.exactOptional(v.pipe(v.array(streamName), v.maxLength(64))),
    }),
  }),
  v.strictObject({
    v: v.literal(PROTOCOL_VERSION),
    method: v.literal('status'),
    params: v.strictObject({}),
  }),
]);

export type Request = v.InferOutput<typeof requestSchema>;
export type Answer =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly code: string; readonly message: string; readonly hint: string };

/** JSON with bigint as {"$n": digits}. */
export function encodeRequest(request: Request): string {
  return (
    JSON.stringify(request, (_key, value: unknown) =>
      typeof value === 'bigint' ? { $n: String(value) } : value,
    ) + '\n'
  );
}

/** The request, or what is wrong with it in one sentence. Never throws. */
export function decodeRequest(line: string): Request | string {
  let value: unknown;
  try {
    value = JSON.parse(line, (_key, part: unknown) => {
      const digits = (part as { $n?: unknown } | null)?.$n;
      return typeof digits === 'string' && /^\d{1,20}$/.test(digits) ? BigInt(digits) : part;
    });
  } catch {
    return 'the request is no JSON';
  }
  const result = v.safeParse(requestSchema, value);
  if (result.success) return result.output;
  const issue = result.issues[0];
  return `${v.getDotPath(issue) ?? 'request'}: ${issue.message}`;
}
