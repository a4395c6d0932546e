/** Scales and ticks: a number on the page for a number of the data. */

export interface Scale {
  (value: number): number;
  invert(place: number): number;
  ticks: number[];
}

const STEPS = [1, 2, 2.5, 5, 10];

/** Round numbers that cover [low, high] in about `wanted` steps. */
export function ticks(low: number, high: number, wanted = 5): number[] {
  if (!(high > low)) return [low];
  const rough = (high - low) / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * (STEPS.find((each) => each * power >= rough * 0.999) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

export function linear(from: readonly [number, number], to: readonly [number, number], wanted = 5): Scale {
  const [a, b] = from;
  const span = b - a || 1;
  const scale = (value: number): number => to[0] + ((value - a) / span) * (to[1] - to[0]);
  return Object.assign(scale, {
    invert: (place: number): number => a + ((place - to[0]) / (to[1] - to[0] || 1)) * span,
    ticks: ticks(Math.min(a, b), Math.max(a, b), wanted),
  });
}

/** Room around the data, so that no mark sits on the frame. */
export function padded(values: readonly number[], share = 0.05): [number, number] {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return [0, 1];
  const low = Math.min(...finite);
  const high = Math.max(...finite);
  const room = (high - low || Math.abs(high) || 1) * share;
  return [low - room, high + room];
}

/** An SVG path through points; a NaN breaks the line. */
export function path(points: readonly (readonly [number, number])[]): string {
  let pen = 'M';
  return points
    .map(([x, y]) => {
      if (!Number.isFinite(x) || !Number.isFinite(y)) {
        pen = 'M';
        return '';
      }
      const piece = `${pen}${x.toFixed(2)},${y.toFixed(2)}`;
      pen = 'L';
      return piece;
    })
    .join('');
}

/** A closed band between two lines over the same places. */
export function band(
  low: readonly (readonly [number, number])[],
  high: readonly (readonly [number, number])[],
): string {
  return low.length === 0 ? '' : `${path(low)}${path([...high].reverse()).replace('M', 'L')}Z`;
}
