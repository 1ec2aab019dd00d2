// What follows from counters together: instructions per cycle, misses, the frequency CPUs ran at.
// Pure: rates in, rates out, for a whole window and for each of its steps.

/** Events a second by their perf names; undefined where an event was not counted. */
export type Rates = (event: string) => number | undefined;

export interface DerivedValue {
  readonly name: string;
  readonly unit: string;
  readonly value: number;
}

interface Formula {
  readonly name: string;
  readonly unit: string;
  readonly of: (rates: Rates) => number | undefined;
}

const missEvents = [
  'cache-misses',
  'branch-misses',
  'L1-dcache-load-misses',
  'L1-icache-load-misses',
  'LLC-load-misses',
  'dTLB-load-misses',
  'iTLB-load-misses',
];

const formulas: readonly Formula[] = [
  {
    name: 'IPC',
    unit: 'instructions a cycle',
    of: (rates) => ratio(rates('instructions'), cyclesOf(rates)),
  },
  ...missEvents.map((event) => ({
    name: event,
    unit: 'a 1,000 instructions',
    of: (rates: Rates) => scaled(ratio(rates(event), rates('instructions')), 1000),
  })),
  {
    name: 'cache misses',
    unit: '% of references',
    of: (rates) => scaled(ratio(rates('cache-misses'), rates('cache-references')), 100),
  },
  {
    name: 'branch misses',
    unit: '% of branches',
    of: (rates) => scaled(ratio(rates('branch-misses'), branchesOf(rates)), 100),
  },
  { name: 'effective frequency', unit: 'GHz while not idle', of: frequencyGhz },
  {
    name: 'not idle',
    unit: '% of the time',
    of: (rates) => scaled(ratio(rates('msr/mperf/'), rates('msr/tsc/')), 100),
  },
];

export function derivedOf(rates: Rates): DerivedValue[] {
  return formulas.flatMap(({ name, unit, of }) => {
    const value = of(rates);
    return value === undefined ? [] : [{ name, unit, value }];
  });
}

/** tsc runs always at its base rate; aperf and mperf run only while a CPU is not idle, aperf at the
 *  frequency of the moment, mperf at tsc's. `cpus` of them add their rates up. */
function frequencyGhz(rates: Rates): number | undefined {
  const base = ratio(rates('msr/tsc/'), rates('cpus'));
  const pace =
    ratio(rates('msr/aperf/'), rates('msr/mperf/')) ?? ratio(cyclesOf(rates), rates('ref-cycles'));
  return base === undefined || pace === undefined ? undefined : (base * pace) / 1e9;
}

function cyclesOf(rates: Rates): number | undefined {
  return rates('cycles') ?? rates('cpu-cycles');
}

function branchesOf(rates: Rates): number | undefined {
  return rates('branches') ?? rates('branch-instructions');
}

function ratio(part: number | undefined, whole: number | undefined): number | undefined {
  return part === undefined || whole === undefined || whole === 0 ? undefined : part / whole;
}

function scaled(value: number | undefined, by: number): number | undefined {
  return value === undefined ? undefined : value * by;
}
