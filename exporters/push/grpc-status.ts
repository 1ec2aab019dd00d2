// Which gRPC answers mean "again later", and after how long. Source: the OTLP specification,
// "Failures"; google.rpc.Status and RetryInfo (googleapis, error_details.proto).
//
//   Status     code=1  message=2  details=3 (Any: type_url=1, value=2), repeated
//   RetryInfo  retry_delay=1 (Duration: seconds=1, nanos=2)

/** CANCELLED, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS;
 *  and those of set-up: PERMISSION_DENIED, UNIMPLEMENTED, UNAUTHENTICATED. */
const retryable = [1, 4, 8, 10, 11, 14, 15, 7, 12, 16];
const maxStatusBytes = 65_536;

export function isGrpcRetryable(code: number, message: string): boolean {
  // A message that is too large stays so.
  return retryable.includes(code) && !(code === 8 && /larger than max/i.test(message));
}

/** What a grpc-js ServiceError says of when to come again; undefined when it does not. */
export function retryDelayMs(error: unknown): number | undefined {
  const { metadata } = error as { metadata?: { get(name: string): unknown[] } };
  const status = metadata?.get('grpc-status-details-bin')[0];
  if (!(status instanceof Uint8Array) || status.length > maxStatusBytes) return undefined;
  for (const detail of messagesAt(status, 3)) {
    const type = new TextDecoder().decode(messagesAt(detail, 1)[0] ?? new Uint8Array(0));
    const info = messagesAt(detail, 2)[0];
    if (!type.endsWith('/google.rpc.RetryInfo') || info === undefined) continue;
    const delay = messagesAt(info, 1)[0] ?? new Uint8Array(0);
    const ms = numberAt(delay, 1) * 1e3 + numberAt(delay, 2) / 1e6;
    return Number.isFinite(ms) && ms >= 0 ? ms : undefined;
  }
  return undefined;
}

interface Field {
  readonly number: number;
  /** Of a varint its value, else the field's bytes. */
  readonly value: number | Uint8Array;
}

function messagesAt(bytes: Uint8Array, number: number): Uint8Array[] {
  return fieldsOf(bytes).flatMap((field) =>
    field.number === number && typeof field.value !== 'number' ? [field.value] : [],
  );
}

function numberAt(bytes: Uint8Array, number: number): number {
  const found = fieldsOf(bytes).find((field) => field.number === number)?.value;
  return typeof found === 'number' ? found : 0;
}

/** The fields of a protobuf message up to the first that is broken. */
function fieldsOf(bytes: Uint8Array): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 70 && at < bytes.length; shift += 7) {
      const byte = bytes[at++]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    at = bytes.length + 1;
    return value;
  };
  while (at < bytes.length) {
    const tag = varint();
    const type = tag % 8;
    const length = type === 0 ? 0 : type === 1 ? 8 : type === 5 ? 4 : type === 2 ? varint() : -1;
    if (length < 0 || at + length > bytes.length) break;
    const number = Math.floor(tag / 8);
    if (type === 0) {
      const value = varint();
      if (at > bytes.length) break;
      fields.push({ number, value });
      continue;
    }
    fields.push({ number, value: bytes.subarray(at, at + length) });
    at += length;
  }
  return fields;
}
