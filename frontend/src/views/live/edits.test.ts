import { expect, test } from 'vitest';
import { applied, format, parse } from './edits';

test('painted pixels survive the address and land in every channel', () => {
  const edits = new Map([[3, [1, 0, 0.2]]]);
  const text = format(edits);
  expect(text).toBe('3.ff0033');
  const back = parse(text, 3, 4);
  expect(back.get(3)).toEqual([1, 0, 0.2]);
  expect([...applied(new Float32Array(12), back, 4)].map((value) => Number(value.toFixed(3)))).toEqual([
    0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0.2,
  ]);
});

test('what does not fit the image is left out', () => {
  expect(parse('9.ff,1.zz,2.ffff,-1.ff,3.80', 1, 9).size).toBe(1);
});
