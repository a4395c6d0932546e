import { expect, test } from 'vitest';
import { Latest } from './latest';

test('questions between the first and the last are left out', async () => {
  const asked: number[] = [];
  const told: number[] = [];
  const open: (() => void)[] = [];
  const latest = new Latest<number, number>(
    (question) =>
      new Promise((resolve) => {
        asked.push(question);
        open.push(() => resolve(question));
      }),
    (answer) => told.push(answer),
    () => undefined,
  );
  [1, 2, 3, 4].forEach((question) => latest.put(question));
  expect(asked).toEqual([1]);
  open[0]?.();
  await new Promise((resolve) => setTimeout(resolve));
  expect(asked).toEqual([1, 4]);
  open[1]?.();
  await new Promise((resolve) => setTimeout(resolve));
  expect(told).toEqual([1, 4]);
});

test('a failure does not stop what follows', async () => {
  const told: number[] = [];
  const failed: unknown[] = [];
  const latest = new Latest<number, number>(
    (question) => (question < 0 ? Promise.reject(new Error('no')) : Promise.resolve(question)),
    (answer) => told.push(answer),
    (reason) => failed.push(reason),
  );
  latest.put(-1);
  await new Promise((resolve) => setTimeout(resolve));
  latest.put(2);
  await new Promise((resolve) => setTimeout(resolve));
  expect([told, failed.length]).toEqual([[2], 1]);
});
