import { expect, test } from 'vitest';
import { isMissing, pack, unpack } from './client';

test('numbers survive packing', () => {
  const values = Float32Array.from([0, 0.1, 1, -3.5, 1e-20]);
  expect(unpack(pack(values))).toEqual(values);
});

test('a missing part is told from an answer', () => {
  expect(isMissing({ available: false, part: 'guards', why: '', add: '' })).toBe(true);
  expect(isMissing({ available: true })).toBe(false);
  expect(isMissing(null)).toBe(false);
});
