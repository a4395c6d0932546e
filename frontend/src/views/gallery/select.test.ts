import { expect, test } from 'vitest';
import type { DetectorColumn, Gallery } from '../../api/answers';
import { facets, options, passing, sorted } from './select';

const set = (id: string, attack: string | null, eps: number | null) => ({
  id,
  label: id,
  source: attack ? 'attacks' : 'clean',
  attack,
  family: null,
  control: false,
  spec: '',
  norm: 'linf',
  eps,
  seed: 0,
  kept: 2,
  attacked: 2,
});
const gallery: Gallery = {
  run: 'r',
  n: 5,
  sets: [set('clean', null, null), set('a', 'pgd', 0.1)],
  cases: ['none', 'tn', 'fp', 'tp', 'fn'],
  atlas: { href: '', tile: [8, 8], columns: 1, rows: 1, pages: 1, tiles: 5 },
  set: [0, 0, 1, 1, 1],
  index: [3, 4, 3, 4, 5],
  label: [1, 2, 1, 2, 2],
  predicted: [1, 2, 7, 2, 2],
  clean: [1, 2, 1, 2, 2],
  success: [false, false, true, false, true],
  success_8bit: [false, false, true, false, false],
  margin: [2, 1, -1, null, 0.5],
  distance: {},
  detectors: [],
};
const column: DetectorColumn = {
  available: true,
  id: 'd',
  name: 'd',
  threshold: 0.5,
  rate: null,
  score: [0.1, 0.9, 0.8, 0.2, 0.8],
  alarm: [false, true, true, false, true],
  case: [1, 2, 3, 0, 3],
};
const none = { filters: {}, image: null, inside: null };

test('filters join by and between facets, by or inside one', () => {
  const values = facets(gallery, column);
  expect(passing(values, gallery, none)).toEqual([0, 1, 2, 3, 4]);
  expect(passing(values, gallery, { ...none, filters: { attack: ['pgd'], class: ['2'] } })).toEqual([3, 4]);
  expect(passing(values, gallery, { ...none, filters: { case: ['2', '3'] } })).toEqual([1, 2, 4]);
  expect(passing(values, gallery, { ...none, image: 3 })).toEqual([0, 2]);
  expect(passing(values, gallery, { ...none, inside: new Set([4]) })).toEqual([4]);
});

test('counts of a facet ignore its own choice but not the others', () => {
  const values = facets(gallery, column);
  const wanted = { ...none, filters: { attack: ['pgd'], outcome: ['fooled'] } };
  const found = options(values.outcome, passing(values, gallery, wanted, 'outcome'), (value) => value);
  expect(Object.fromEntries(found.map((each) => [each.value, each.n]))).toEqual({
    clean: 0,
    fooled: 1,
    'attack failed': 1,
    'fooled, not after 8-bit rounding': 1,
  });
});

test('rows without a value come last, whichever way they are sorted', () => {
  expect(sorted([0, 1, 2, 3, 4], gallery, column, 'margin', false)).toEqual([2, 4, 1, 0, 3]);
  expect(sorted([0, 1, 2, 3, 4], gallery, column, 'margin', true)).toEqual([0, 1, 4, 2, 3]);
  expect(sorted([0, 1, 2, 3, 4], gallery, column, 'score', true)).toEqual([1, 2, 4, 3, 0]);
});
