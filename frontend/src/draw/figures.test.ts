import { expect, test } from 'vitest';
import type { Gallery } from '../api/answers';
import { diverging, hexRgb, rgbHex } from './colour';
import { budget, figure, percent, rate } from './format';
import { joined } from './joined';
import { csv } from './save';
import { linear, path, ticks } from './scale';
import { spread } from './spread';
import { tileAt } from './tiles';
import { at, limitOf, minus, photo, signed, slice } from './image';
import { held } from '../views/example/lens.svelte';

test('a budget is shown as it was given', () => {
  const given: [number, string][] = [
    [2 / 255, '2/255'],
    [8 / 255, '8/255'],
    [0.5 / 255, '0.5/255'],
    [0.2, '0.2'],
    [0.05, '0.05'],
    [1, '1'],
    [0, '0'],
    [128 / 255, '128/255'],
    [1 / 3, '85/255'],
    [0.0234371, '0.02344'],
    [Math.sqrt(3072), '55.43'],
  ];
  expect(given.map(([eps]) => budget(eps))).toEqual(given.map(([, text]) => text));
  expect(budget(null)).toBe('–');
});

test('figures have three significant digits, a true minus, and never pretend to be exact', () => {
  expect([figure(0.12345), figure(-2), figure(0), figure(null), figure(1234567)]).toEqual([
    '0.123',
    '−2',
    '0',
    '–',
    '1.23e+6',
  ]);
  expect([percent(0.001), percent(0.999), percent(1), percent(0), percent(0.5)]).toEqual([
    '< 1 %',
    '> 99 %',
    '100 %',
    '0 %',
    '50 %',
  ]);
  expect(rate({ value: 0.5, low: 0.4, high: 0.6, hits: 50, n: 100 })).toBe('50.0 % (40.0–60.0 %; 50 of 100)');
  expect(rate({ value: null, low: 0, high: 1, hits: 0, n: 0 })).toBe('none counted');
});

test('ticks are round and lie inside; scales go both ways', () => {
  expect(ticks(0, 1, 5)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
  expect(ticks(0.03, 0.27, 4).every((tick) => tick >= 0.03 && tick <= 0.27)).toBe(true);
  const scale = linear([0, 10], [100, 0]);
  expect(scale.invert(scale(7))).toBeCloseTo(7);
  expect(
    path([
      [0, 0],
      [1, NaN],
      [2, 2],
    ]),
  ).toBe('M0.00,0.00M2.00,2.00');
});

test('labels keep their order and their distance', () => {
  const placed = spread([50, 51, 52, 10], 14, 0, 60);
  const order = [...placed].sort((a, b) => a - b);
  expect(order.every((value, i) => i === 0 || value - (order[i - 1] ?? 0) >= 13.999)).toBe(true);
  expect(Math.max(...placed)).toBeLessThanOrEqual(60);
  expect((placed[0] ?? 0) < (placed[1] ?? 0) && (placed[1] ?? 0) < (placed[2] ?? 0)).toBe(true);
});

test('a tile of the last, shorter page is not stretched', () => {
  const atlas = { href: 'a/{page}.png', tile: [8, 8] as [number, number], columns: 4, rows: 4, pages: 2, tiles: 21 };
  expect(tileAt(atlas, 5, 10)).toEqual({ href: 'a/0.png', x: 10, y: 10, width: 40, height: 40 });
  expect(tileAt(atlas, 20, 10)).toEqual({ href: 'a/1.png', x: 0, y: 10, width: 40, height: 20 });
});

test('images are cut from a tensor, subtracted, and coloured around zero', () => {
  const tensor = { values: Float32Array.from([0, 1, 0.5, 0, 0, 1]), shape: [2, 3, 1, 1] };
  const [a, b] = [slice(tensor, 0), slice(tensor, 1)];
  expect(at(minus(b, a), 0, 0)).toEqual([0, -1, 0.5]);
  expect(limitOf(minus(b, a))).toBe(0.5);
  expect([...photo(a)]).toEqual([0, 255, 128, 255]);
  expect([...signed(minus(b, a), 0.5)]).toEqual([...diverging(-1), 255]);
  expect(() => slice(tensor, 2)).toThrow(RangeError);
  expect(rgbHex(hexRgb('#0072b2'))).toBe('#0072b2');
});

test('the window of a zoom stays inside the image', () => {
  expect(held(4, 0, 1)).toEqual({ scale: 4, x: 0.125, y: 0.875 });
  expect(held(0.2, 0.9, NaN)).toEqual({ scale: 1, x: 0.5, y: 0.5 });
});

test('rows become CSV that a spreadsheet reads', () => {
  expect(csv([{ a: -1, b: '=1+1', c: '-0.5' }])).toBe("a,b,c\r\n-1,'=1+1,-0.5\r\n"); // names are no formulas
  expect(
    csv([
      { a: 1, b: 'x, "y"' },
      { a: null, c: true },
    ]),
  ).toBe('a,b,c\r\n1,"x, ""y""",\r\n,,true\r\n');
});

test('runs are joined by attack, budget and test image, each pair once', () => {
  const set = (attack: string | null, eps: number | null) => ({
    id: '',
    label: '',
    source: '',
    attack,
    family: null,
    control: false,
    spec: '',
    norm: 'linf',
    eps,
    seed: 0,
    kept: 0,
    attacked: 0,
  });
  const base = {
    run: '',
    cases: [],
    atlas: { href: '', tile: [1, 1] as [number, number], columns: 1, rows: 1, pages: 1, tiles: 1 },
    label: [],
    predicted: [],
    clean: [],
    success_8bit: [],
    margin: [],
    distance: {},
    detectors: [],
  };
  const one: Gallery = {
    ...base,
    n: 4,
    sets: [set(null, null), set('pgd', 0.1)],
    set: [0, 1, 1, 1],
    index: [7, 7, 8, 7],
    success: [false, true, false, true],
  };
  const two: Gallery = {
    ...base,
    n: 2,
    sets: [set('pgd', 0.1), set('pgd', 0.2)],
    set: [0, 1],
    index: [7, 8],
    success: [false, true],
  };
  expect(joined(one, two)).toEqual([{ a: 1, b: 0, attack: 'pgd', eps: 0.1, kind: 'first' }]);
});
