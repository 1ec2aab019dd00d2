// Stacks of a known shape: what is right passes, and a frame left out, made up or cut off is found.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shapeProblem, type Shape } from '../../bench/known-shape.js';

const shape: Shape = {
  chain: ['run', 'a', 'gate', 'b', 'leaf'],
  optional: ['gate'],
  root: /^main$/,
  interrupts: /(a|b) tick$/,
};

/** Root first. */
const problemOf = (text: string) => shapeProblem(text.split(' ').toReversed(), shape);

test('right', () => {
  for (const text of [
    'start main run a gate b leaf',
    'start main run a b leaf',
    'start main run a gate b leaf anything at all',
    'start main run a',
    'start main run a tick more',
    'start main run',
    'start main another',
  ]) {
    assert.equal(problemOf(text), undefined, text);
  }
});

test('wrong', () => {
  const wrong = {
    'start main run b leaf': 'b above run',
    'start main run a gate leaf': 'leaf above gate',
    'start main a gate b leaf': 'a above main',
    'start run a gate b leaf': 'root start',
    'start main run a other': 'other above a',
    'start main run tick': 'tick above run',
    'start main run a gate b leaf leaf': 'leaf above leaf',
    'start main run a gate b tick leaf': 'leaf above b',
  };
  for (const [text, problem] of Object.entries(wrong)) assert.equal(problemOf(text), problem, text);
});
