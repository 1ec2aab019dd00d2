// Fetches the kernels that `npm run test:kernels` boots: those of three Debian releases, each once,
// into ~/.cache/flamekeeper/kernels/SUITE: `release` (its uname -r), `vmlinuz` and the modules that
// tests load. apt gets a state, a cache and sources of its own; only the mirror is taken from the
// host's sources.

import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Linux 5.10, 6.1 and 6.12. */
const suites = ['bullseye', 'bookworm', 'trixie'];
const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'flamekeeper/kernels');
/** Of the modules only those for block devices and file systems, and what they need. */
const moduleFolders = ['crypto', 'drivers/block', 'drivers/md', 'drivers/virtio', 'fs', 'lib'];

/** Does nothing when all are there.
 *  **Errors**: throws, with a sentence, when the host is no Debian. */
export function fetchKernels() {
  const missing = suites.filter((suite) => !existsSync(join(cache, suite, 'release')));
  if (missing.length === 0) return;
  const apt = join(cache, `apt.${process.pid}`);
  try {
    const env = { ...process.env, APT_CONFIG: writePrivateApt(apt, missing) };
    execFileSync('apt-get', ['update', '-qq'], { env, stdio: 'inherit' });
    for (const suite of missing) fetchKernel(suite, apt, env);
  } finally {
    rmSync(apt, { recursive: true, force: true });
  }
}

function fetchKernel(suite, apt, env) {
  const meta = ['show', '--no-all-versions', `linux-image-amd64/${suite}`];
  const [, name] = /^Depends: (linux-image-\S+)/m.exec(
    execFileSync('apt-cache', meta, { env, encoding: 'utf8' }),
  );
  const release = name.slice('linux-image-'.length);
  console.log(`setup: kernel ${release} of ${suite}`);
  execFileSync('apt-get', ['download', '-qq', name], { cwd: apt, env, stdio: 'inherit' });
  const deb = join(
    apt,
    readdirSync(apt).find((file) => file.startsWith(`${name}_`)),
  );
  const folder = join(apt, suite);
  unpackKernel(deb, folder);
  renameSync(join(folder, 'boot', `vmlinuz-${release}`), join(folder, 'vmlinuz'));
  if (existsSync(join(folder, 'usr/lib'))) renameSync(join(folder, 'usr/lib'), join(folder, 'lib'));
  execFileSync('/sbin/depmod', ['-b', folder, release]);
  writeFileSync(join(folder, 'release'), `${release}\n`);
  rmSync(join(cache, suite), { recursive: true, force: true });
  renameSync(folder, join(cache, suite));
  rmSync(deb);
}

function unpackKernel(deb, folder) {
  mkdirSync(folder);
  const modules = moduleFolders.map((name) => `*/kernel/${name}/*`);
  const wanted = ['./boot/vmlinuz-*', '*/modules.builtin*', '*/modules.order', ...modules];
  const quoted = wanted.map((pattern) => `'${pattern}'`).join(' ');
  const script = `dpkg-deb --fsys-tarfile "$0" | tar -x -C "$1" --wildcards ${quoted}`;
  execFileSync('sh', ['-c', script, deb, folder], { stdio: 'inherit' });
}

/** Gives the path of its configuration. */
function writePrivateApt(folder, wantedSuites) {
  const { mirror, keyring } = debianMirror();
  for (const name of ['state/lists/partial', 'cache/archives/partial'])
    mkdirSync(join(folder, name), { recursive: true });
  const files = {
    'state/status': [],
    'debian.sources': [
      'Types: deb',
      `URIs: ${mirror}`,
      `Suites: ${wantedSuites.join(' ')}`,
      'Components: main',
      `Signed-By: ${keyring}`,
    ],
    'apt.conf': [
      `Dir::State "${folder}/state";`,
      `Dir::State::status "${folder}/state/status";`,
      `Dir::Cache "${folder}/cache";`,
      `Dir::Etc::sourcelist "${folder}/debian.sources";`,
      'Dir::Etc::sourceparts "/dev/null";',
      'Dir::Etc::preferencesparts "/dev/null";',
      'Acquire::Languages "none";',
      'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";',
      'APT::Architecture "amd64";',
      'APT::Sandbox::User "root";',
    ],
  };
  for (const [name, lines] of Object.entries(files))
    writeFileSync(join(folder, name), lines.map((line) => `${line}\n`).join(''));
  return join(folder, 'apt.conf');
}

/** From the entry, in either format of sources, that has the host's own release. */
function debianMirror() {
  const codename = /^VERSION_CODENAME=(.*)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  const folder = '/etc/apt/sources.list.d';
  const names = existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
  const texts = (ending) =>
    names.filter((name) => name.endsWith(ending)).map((name) => readFileSync(name, 'utf8'));
  const main = existsSync('/etc/apt/sources.list')
    ? [readFileSync('/etc/apt/sources.list', 'utf8')]
    : [];
  const entries = [
    ...texts('.sources').flatMap((text) => text.split(/\n\s*\n/).map(parseStanza)),
    ...[...main, ...texts('.list')].flatMap((text) => text.split('\n').map(parseLine)),
  ];
  const entry = entries.find(
    ({ suites, components }) => suites.includes(codename) && components.includes('main'),
  );
  if (entry === undefined)
    throw new Error(`no source of Debian ${codename} is in /etc/apt: kernels come from there`);
  return {
    mirror: entry.uri,
    keyring: entry.keyring ?? '/usr/share/keyrings/debian-archive-keyring.gpg',
  };
}

const words = (text = '') => text.split(/\s+/).filter((word) => word !== '');

/** deb822, as in sources.list(5). */
function parseStanza(text) {
  const lines = text.split('\n').filter((line) => !line.startsWith('#'));
  const fields = new Map();
  for (const [, name, value] of lines.join('\n').matchAll(/^(\S+):((?:.*)(?:\n\s.*)*)/gm))
    fields.set(name.toLowerCase(), value);
  const isOn = words(fields.get('types')).includes('deb') && fields.get('enabled')?.trim() !== 'no';
  return {
    uri: words(fields.get('uris'))[0],
    suites: isOn ? words(fields.get('suites')) : [],
    components: words(fields.get('components')),
    keyring: words(fields.get('signed-by')).find((word) => word.startsWith('/')),
  };
}

/** `deb [signed-by=FILE] URI SUITE COMPONENT...` */
function parseLine(text) {
  const [, options = '', rest] = /^deb\s+(?:\[([^\]]*)\]\s*)?(.*)$/.exec(text) ?? [];
  const [uri, suite, ...components] = words(rest);
  const keyring = /signed-by=(\/\S+)/.exec(options)?.[1];
  return { uri, suites: suite === undefined ? [] : [suite], components, keyring };
}
