/** A lasso: corners in a map's own coordinates, short enough for an address. */

export type Corner = readonly [number, number];

export interface Lasso {
  map: string;
  corners: Corner[];
}

const MOST = 28;

/** Whether a point lies inside, by the even-odd rule. */
export function inPolygon(x: number, y: number, corners: readonly Corner[]): boolean {
  let inside = false;
  for (let i = 0, j = corners.length - 1; i < corners.length; j = i, i += 1) {
    const [ax, ay] = corners[i] ?? [0, 0];
    const [bx, by] = corners[j] ?? [0, 0];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
  }
  return inside;
}

/** A drawn line with its least important corners taken out (Visvalingam and Whyatt, 1993), until few are left. */
export function simplified(corners: readonly Corner[], most = MOST): Corner[] {
  const left = [...corners];
  const area = (i: number): number => {
    const [a, b, c] = [left[(i + left.length - 1) % left.length], left[i], left[(i + 1) % left.length]];
    if (!a || !b || !c) return Infinity;
    return Math.abs((b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]));
  };
  while (left.length > most) {
    let least = 0;
    for (let i = 1; i < left.length; i += 1) if (area(i) < area(least)) least = i;
    left.splice(least, 1);
  }
  return left;
}

/** `map:x,y,x,y,…` with four significant figures. */
export const lassoText = (lasso: Lasso): string =>
  `${lasso.map}:${lasso.corners
    .flat()
    .map((value) => Number(value.toPrecision(4)))
    .join(',')}`;

export function polygonOf(text: string): Lasso | null {
  const cut = text.lastIndexOf(':');
  const numbers = text
    .slice(cut + 1)
    .split(',')
    .map(Number);
  if (cut < 1 || numbers.length < 6 || numbers.length % 2 === 1 || !numbers.every(Number.isFinite)) return null;
  return {
    map: text.slice(0, cut),
    corners: Array.from(
      { length: numbers.length / 2 },
      (_, i) => [numbers[2 * i] ?? 0, numbers[2 * i + 1] ?? 0] as const,
    ),
  };
}
