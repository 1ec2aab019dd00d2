// Gets the servers that `npm run test:interop` pushes to and is scraped by, each once, into
// ~/.cache/flamekeeper/servers: an OpenTelemetry Collector of only the parts that tests need,
// Prometheus and promtool, built by Go from the versions that test/interop/servers pins, and Debian's
// VictoriaMetrics. A folder's name holds a hash of its sources, so that another version is built anew.

import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const sources = join(dirname(dirname(fileURLToPath(import.meta.url))), 'test/interop/servers');
const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'flamekeeper/servers');
/** From this version on Go fetches a newer one where go.mod asks for it. */
const minimumGo = [1, 21];

const built = {
  otelcol: { packages: ['.'], tags: [] },
  // Without the service discoveries of clouds; targets in the configuration stay.
  prometheus: {
    packages: ['prometheus', 'promtool'].map(
      (name) => `github.com/prometheus/prometheus/cmd/${name}`,
    ),
    tags: ['-tags', 'remove_all_sd'],
  },
};

export class ServersError extends Error {}

/** Where the server lies, or will: otelcol, prometheus, promtool or victoria-metrics. */
export function serverPath(name) {
  if (name === 'victoria-metrics') return join(cache, 'victoria-metrics/usr/bin/victoria-metrics');
  return join(builtFolder(name === 'promtool' ? 'prometheus' : name), name);
}

/** Does nothing when all are there.
 *  **Errors**: ServersError, with what to do, where Go or apt is missing. */
export function fetchServers() {
  const missing = Object.keys(built).filter((name) => !existsSync(builtFolder(name)));
  if (missing.length > 0) requireGo();
  for (const name of missing) buildServer(name);
  if (!existsSync(serverPath('victoria-metrics'))) fetchVictoriaMetrics();
}

function builtFolder(name) {
  const hash = createHash('sha256');
  const files = readdirSync(join(sources, name)).sort();
  for (const file of files) hash.update(readFileSync(join(sources, name, file)));
  return join(cache, `${name}-${hash.digest('hex').slice(0, 12)}`);
}

function requireGo() {
  const { stdout } = spawnSync('go', ['env', 'GOVERSION'], { encoding: 'utf8' });
  const [, major, minor] = /^go(\d+)\.(\d+)/.exec(stdout ?? '') ?? [];
  const version = [Number(major), Number(minor)];
  if (version[0] > minimumGo[0] || (version[0] === minimumGo[0] && version[1] >= minimumGo[1])) return;
  const found = major === undefined ? 'there is no go in PATH' : `${stdout.trim()} is too old`;
  throw new ServersError(
    `${found}: go ${minimumGo.join('.')} or later builds the servers that the interop tests talk to.\n` +
      'Install it and run this again.',
  );
}

function buildServer(name) {
  console.log(`setup: builds ${name} (some minutes, once)`);
  const folder = builtFolder(name);
  const unfinished = `${folder}.${process.pid}`;
  mkdirSync(unfinished, { recursive: true });
  const { packages, tags } = built[name];
  const flags = ['-mod=readonly', '-buildvcs=false', '-trimpath', '-ldflags', '-s -w'];
  try {
    const args = ['build', ...flags, ...tags, '-o', `${unfinished}/`, ...packages];
    execFileSync('go', args, { cwd: join(sources, name), stdio: 'inherit' });
    renameSync(unfinished, folder);
  } catch (error) {
    throw new ServersError(`go could not build ${name} (its words are above): ${error.message}`);
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
}

/** Unpacked, not installed: the package would start it as a service. */
function fetchVictoriaMetrics() {
  console.log('setup: fetches victoria-metrics');
  const unfinished = join(cache, `victoria-metrics.${process.pid}`);
  mkdirSync(unfinished, { recursive: true });
  const run = (command, args) =>
    execFileSync(command, args, { cwd: unfinished, stdio: ['ignore', 'ignore', 'inherit'] });
  try {
    if (process.getuid() === 0) run('apt-get', ['update', '-qq']);
    // Only root writes to this folder: apt's own user cannot.
    run('apt-get', ['download', '-qq', '-o', 'APT::Sandbox::User=root', 'victoria-metrics']);
    const deb = readdirSync(unfinished).find((file) => file.endsWith('.deb'));
    run('dpkg-deb', ['-x', deb, '.']);
    rmSync(join(unfinished, deb));
    renameSync(unfinished, join(cache, 'victoria-metrics'));
  } catch (error) {
    throw new ServersError(
      `apt could not fetch victoria-metrics: ${error.message}\n` +
        'It comes from Debian 12 or later; elsewhere put its program at\n' +
        `  ${serverPath('victoria-metrics')}`,
    );
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
}
