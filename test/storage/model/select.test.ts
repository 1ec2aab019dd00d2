// selectProfile: keeps the rows it must, and nothing that they do not need.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { functionLabel } from '../../../storage/model/frame.js';
import type { Profile } from '../../../storage/model/profile.js';
import { checkValid, totalOf } from '../../../storage/model/profile.js';
import type { Selection } from '../../../storage/model/select.js';
import { selectProfile } from '../../../storage/model/select.js';
import type { PlainRow } from '../../support/profiles.js';
import { plainRowsOf, profiles, smallProfile } from '../../support/profiles.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('select.test');

test('selects by function, module and kind of leaf', () => {
  const profile = smallProfile();
  const totalWith = (selection: Selection): number => totalOf(selectProfile(profile, selection));
  assert.equal(totalWith({}), 55);
  assert.equal(totalWith({ functionPattern: /^vfs_/ }), 6);
  assert.equal(totalWith({ functionPattern: /libx/ }), 8);
  assert.equal(totalWith({ functionPattern: /^\[kernel\]$/ }), 6);
  assert.equal(totalWith({ functionPattern: /unreadable/ }), 0, 'a cut is no function');
  assert.equal(totalWith({ kernel: true }), 6);
  assert.equal(totalWith({ kernel: false }), 49);
  assert.equal(totalWith({ functionPattern: /WORK/gi }), 26, 'a global pattern has no memory');
});

test('keeps exactly the rows that match, and only what they need', () => {
  const pattern = fc.option(fc.constantFrom(/main/, /./u, /^$/, /script/g), { nil: undefined });
  const kernel = fc.option(fc.boolean(), { nil: undefined });
  fc.assert(
    fc.property(profiles(), pattern, kernel, (profile, functionPattern, isKernel) => {
      const selection = {
        ...(functionPattern !== undefined && { functionPattern }),
        ...(isKernel !== undefined && { kernel: isKernel }),
      };
      const selected = selectProfile(profile, selection);
      checkValid(selected);
      checkHoldsNothingElse(selected);
      const expected = plainRowsOf(profile).filter((row) => isWanted(row, selection));
      assert.deepEqual(plainRowsOf(selected), expected);
    }),
  );
});

function isWanted({ frames }: PlainRow, { functionPattern, kernel }: Selection): boolean {
  const leafIsKernel = frames.at(-1)?.frameType === 'kernel';
  if (kernel !== undefined && leafIsKernel !== kernel) return false;
  if (functionPattern === undefined) return true;
  const texts = frames.flatMap((fn) => [functionLabel(fn), fn.module.name]);
  return texts.some((text) => text.search(functionPattern) >= 0);
}

function checkHoldsNothingElse(profile: Profile): void {
  const nodes = new Set<number>([0]);
  for (const leaf of profile.rowNodes) {
    for (let n = leaf; n !== 0; n = profile.parents[n]!) nodes.add(n);
  }
  const used = [...nodes].filter((node) => node !== 0).map((node) => profile.nodeFunctions[node]!);
  assert.equal(nodes.size, profile.parents.length);
  assert.equal(new Set(used).size, profile.functions.length);
  assert.equal(new Set(profile.rowSeries).size, profile.series.length);
}
