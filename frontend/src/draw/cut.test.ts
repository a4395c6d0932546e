import { expect, test } from 'vitest';
import { cut, histogram } from './cut';

test('an alarm is a score above the threshold, not at it', () => {
  const scores = [0, 1, 2, 2, 3, 1];
  expect(cut(scores, 3, 2)).toEqual({
    truePositive: 1,
    falseNegative: 2,
    falsePositive: 0,
    trueNegative: 3,
    tpr: 1 / 3,
    fpr: 0,
  });
  expect(cut(scores, 3, 1.99)).toMatchObject({ truePositive: 2, falsePositive: 1 });
  expect(cut(scores, 3, -1)).toMatchObject({ tpr: 1, fpr: 1 });
});

test('every value is in one bin', () => {
  expect(histogram([0, 0.5, 1, 2, 9], 0, 2, 2)).toEqual([2, 3]);
});
