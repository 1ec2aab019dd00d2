// `flamekeeper doctor`: what this kernel and this user allow, whose stacks cannot be whole, and the
// remedy for each.

import { Command } from 'commander';
import type { Finding } from '../collector/doctor/checks.js';
import type { ProcessGap } from '../collector/doctor/processes.js';
import { printable } from '../exporters/formats/text.js';
import { writeStdout } from './output.js';
import { withProgress } from './progress.js';
import { renderTable } from './render-table.js';
import { addGlobalOptions, loadSettings } from './settings.js';
import type { GlobalOptions } from './settings.js';

export interface Diagnosis {
  readonly checks: readonly (Finding & { readonly name: string })[];
  readonly processes: readonly ProcessGap[];
}

const marks = { ok: 'ok', gap: 'gap', fatal: 'FAIL' } as const;
const checkColumns = [
  { title: '', align: 'left' },
  { title: 'check', align: 'left' },
  { title: 'found', align: 'left' },
] as const;
/** Processes named for one reason; more are counted. */
const maxNamed = 10;

export function doctorCommand(): Command {
  return addGlobalOptions(
    new Command('doctor').description('what kernel and rights allow, with the remedy for each gap'),
  )
    .action(doctor)
    .addHelpText(
      'after',
      `
Loads and unloads the BPF programs to see that they work. Ask as the user that runs the daemon.
Exit code 1 when the daemon cannot run here; what merely works less well does not count.

Examples:
  flamekeeper doctor
  flamekeeper doctor --json`,
    );
}

async function doctor(options: GlobalOptions): Promise<void> {
  const { config } = loadSettings({ ...options });
  const diagnosis = await withProgress('looking at this host', diagnose(config));
  const text =
    options.json === true
      ? JSON.stringify(diagnosis, null, 2)
      : diagnosisLines(diagnosis).join('\n');
  await writeStdout([`${text}\n`]);
  process.exitCode = diagnosis.checks.some(({ status }) => status === 'fatal') ? 1 : 0;
}

async function diagnose(config: ReturnType<typeof loadSettings>['config']): Promise<Diagnosis> {
  const { checks } = await import('../collector/doctor/checks.js');
  const { thisHost } = await import('../collector/doctor/host.js');
  const { findProcessGaps } = await import('../collector/doctor/processes.js');
  const host = thisHost(config);
  const found: (Finding & { name: string })[] = [];
  for (const { name, run } of checks) found.push({ name, ...(await run(host)) });
  return { checks: found, processes: await findProcessGaps() };
}

/** Lines for people, without line ends. */
export function diagnosisLines({ checks, processes }: Diagnosis): string[] {
  const rows = checks.map((check) => [
    marks[check.status],
    check.name,
    check.status === 'ok' ? check.text : `${check.problem}. ${check.remedy}`,
  ]);
  const lines = renderTable(checkColumns, rows).slice(1);
  const reasons = new Map<string, ProcessGap[]>();
  for (const gap of processes) {
    reasons.set(gap.problem, [...(reasons.get(gap.problem) ?? []), gap]);
  }
  if (reasons.size > 0) lines.push('', 'stacks that cannot be whole:');
  for (const [problem, those] of reasons) {
    const named = those.slice(0, maxNamed).map(({ comm, pid }) => `${comm}[${pid}]`);
    const more = those.length > maxNamed ? ` and ${those.length - maxNamed} more` : '';
    lines.push(`  ${problem}`, `    ${named.join(', ')}${more}`, `    ${those[0]!.remedy}`);
  }
  return lines.map(printable);
}
