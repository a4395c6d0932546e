/** Where a point of the data is on the screen, and which point is under the pointer. */

export interface Plane {
  /** Centre, in the data's coordinates. */
  x: number;
  y: number;
  /** Pixels per unit. */
  scale: number;
}

/** The plane that shows all points with some room. */
export function fitted(points: Float32Array, width: number, height: number): Plane {
  let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let i = 0; i < points.length; i += 2) {
    const [x, y] = [points[i] ?? 0, points[i + 1] ?? 0];
    left = Math.min(left, x);
    right = Math.max(right, x);
    low = Math.min(low, y);
    high = Math.max(high, y);
  }
  if (!(right >= left)) return { x: 0, y: 0, scale: 1 };
  const scale = 0.94 * Math.min(width / (right - left || 1), height / (high - low || 1));
  return { x: (left + right) / 2, y: (low + high) / 2, scale };
}

export const onScreen = (plane: Plane, width: number, height: number, x: number, y: number): [number, number] => [
  width / 2 + (x - plane.x) * plane.scale,
  height / 2 - (y - plane.y) * plane.scale,
];

export const inData = (plane: Plane, width: number, height: number, x: number, y: number): [number, number] => [
  plane.x + (x - width / 2) / plane.scale,
  plane.y - (y - height / 2) / plane.scale,
];

/** The plane after zooming by `factor` around a place on the screen, which stays where it is. */
export function zoomed(
  plane: Plane,
  width: number,
  height: number,
  at: readonly [number, number],
  factor: number,
): Plane {
  const [x, y] = inData(plane, width, height, at[0], at[1]);
  const scale = plane.scale * factor;
  return { scale, x: x - (at[0] - width / 2) / scale, y: y + (at[1] - height / 2) / scale };
}

/** The point nearest to a place, no farther than `reach` units away; `pale` points only where no other is near. */
export function nearest(
  points: Float32Array,
  x: number,
  y: number,
  reach: number,
  pale: (i: number) => boolean,
): number | null {
  let [best, bestPale, least, leastPale]: [number | null, number | null, number, number] = [
    null,
    null,
    reach * reach,
    reach * reach,
  ];
  for (let i = 0; 2 * i < points.length; i += 1) {
    const far = ((points[2 * i] ?? 0) - x) ** 2 + ((points[2 * i + 1] ?? 0) - y) ** 2;
    if (far >= leastPale && far >= least) continue;
    if (pale(i)) {
      if (far < leastPale) [bestPale, leastPale] = [i, far];
    } else if (far < least) [best, least] = [i, far];
  }
  return best ?? bestPale;
}
