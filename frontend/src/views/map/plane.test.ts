import { expect, test } from 'vitest';
import { inPolygon, lassoText, polygonOf, simplified } from '../../draw/polygon';
import { fitted, inData, nearest, onScreen, zoomed } from './plane';

const points = Float32Array.from([0, 0, 10, 0, 10, 4, 0.4, 0]);

test('the screen and the data agree both ways, and zooming keeps the place under the pointer', () => {
  const plane = fitted(points, 400, 300);
  const [x, y] = onScreen(plane, 400, 300, 10, 4);
  expect(inData(plane, 400, 300, x, y).map((value) => Number(value.toFixed(6)))).toEqual([10, 4]);
  const near = zoomed(plane, 400, 300, [x, y], 3);
  expect(onScreen(near, 400, 300, 10, 4).map(Math.round)).toEqual([x, y].map(Math.round));
});

test('the nearest point is found within reach, coloured ones before grey ones', () => {
  expect(nearest(points, 0.3, 0, 1, () => false)).toBe(3);
  expect(nearest(points, 0.3, 0, 1, (i) => i === 3)).toBe(0);
  expect(nearest(points, 5, 5, 1, () => false)).toBeNull();
});

test('a lasso survives the address', () => {
  const corners = [
    [0, 0],
    [2, 0],
    [2, 2],
    [0, 2],
  ] as const;
  expect(polygonOf(lassoText({ map: 'pca~fc1', corners: [...corners] }))).toEqual({ map: 'pca~fc1', corners });
  expect(polygonOf('nonsense')).toBeNull();
  expect(inPolygon(1, 1, corners)).toBe(true);
  expect(inPolygon(3, 1, corners)).toBe(false);
});

test('a long line keeps its shape in few corners', () => {
  const circle = Array.from(
    { length: 400 },
    (_, i) => [Math.cos((i / 200) * Math.PI), Math.sin((i / 200) * Math.PI)] as const,
  );
  const few = simplified(circle, 24);
  expect(few).toHaveLength(24);
  expect(inPolygon(0.95, 0, few)).toBe(true);
  expect(inPolygon(1.05, 0, few)).toBe(false);
});
