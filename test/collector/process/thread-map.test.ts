import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ThreadMap } from '../../../collector/process/thread-map.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('thread-map');

test('answers as a Map does', () => {
  const step = fc.record({ tid: fc.integer({ min: 1, max: 4 }), does: fc.constantFrom('set', 'set', 'delete', 'clear') });
  const property = fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
    const threads = new ThreadMap();
    const model = new Map<number, { comm: string; namedNs: number; endedNs: number }>();
    for (const [i, { tid, does }] of steps.entries()) {
      const thread = { comm: `t${i}`, namedNs: i, endedNs: Infinity };
      if (does === 'set') {
        threads.set(tid, thread);
        model.set(tid, thread);
      } else if (does === 'delete') {
        assert.equal(threads.delete(tid), model.delete(tid));
      } else {
        threads.clear();
        model.clear();
      }
      assert.equal(threads.size, model.size);
      for (let each = 0; each <= 5; each++) assert.equal(threads.get(each), model.get(each));
      const visited = new Map<number, string>();
      threads.forEach(({ comm }, visitedTid) => visited.set(visitedTid, comm));
      assert.deepEqual([...visited].sort(), [...model].map(([key, { comm }]) => [key, comm]).sort());
    }
  });
  fc.assert(property);
});
