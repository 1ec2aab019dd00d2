// Throw-away certificates: an authority, and what it signs for loopback.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

export interface Certificate {
  readonly certificate: string;
  readonly key: string;
}

/** Made by openssl in a folder; files carry the names. */
export class Authority implements Certificate {
  readonly certificate: string;
  readonly key: string;
  readonly #folder: string;

  constructor(folder: string, name = 'ca') {
    this.#folder = folder;
    const own = this.#make(name, ['-addext', 'basicConstraints=critical,CA:TRUE']);
    this.certificate = own.certificate;
    this.key = own.key;
  }

  /** For a server on loopback, or for who calls it. */
  sign(name: string): Certificate {
    const by = ['-CA', this.certificate, '-CAkey', this.key];
    return this.#make(name, [...by, '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']);
  }

  #make(name: string, more: readonly string[]): Certificate {
    const certificate = join(this.#folder, `${name}.crt`);
    const key = join(this.#folder, `${name}.key`);
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    const files = ['-keyout', key, '-out', certificate];
    const args = ['req', '-x509', ...curve, '-days', '2', '-subj', `/CN=${name}`, ...more, ...files];
    execFileSync('openssl', args, { stdio: 'pipe' });
    return { certificate, key };
  }
}
