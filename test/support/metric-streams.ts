// All streams of histograms, counters and gauges there are: the host's, the daemon's own, the probes'.

import type { KeyField } from '../../bpf/descriptor.js';
import { findProbes, givenNames } from '../../collector/agent/probes.js';
import type { HostStream } from '../../storage/model/host-streams.js';
import { hostStreams } from '../../storage/model/host-streams.js';
import type { StreamInfo } from '../../storage/model/stream.js';
import { isMetric } from '../../storage/model/stream.js';

const fieldInfo = ({ name, as }: KeyField) => {
  const isNumber = ['number', 'pid', 'startUnixMs'].includes(as);
  return { name, type: isNumber ? 'number' : 'string' } as const;
};
export const probes = await findProbes();
export const given = givenNames(probes);
export const probeStreams = probes.flatMap(({ descriptor }) =>
  descriptor.outputs.flatMap((output): StreamInfo[] =>
    output.kind === 'histogram' || output.kind === 'counter'
      ? [{ ...output, name: output.stream, fields: output.fields.map(fieldInfo) }]
      : [],
  ),
);
export const hostMetrics = Object.values<HostStream>(hostStreams)
  .map(({ info }) => info)
  .filter(({ kind }) => isMetric(kind));
export const streams = [...hostMetrics, ...probeStreams];
