/** Examples of two runs that are of the same test image, attack, norm and budget. */

import type { Gallery } from '../api/answers';

export interface Pair {
  a: number;
  b: number;
  attack: string;
  eps: number | null;
  kind: 'first' | 'second' | 'both' | 'neither';
}

export function joined(first: Gallery, second: Gallery): Pair[] {
  const key = (gallery: Gallery, row: number): string | null => {
    const set = gallery.sets[gallery.set[row] ?? 0];
    return set?.attack ? `${set.attack}|${set.norm}|${set.eps}|${gallery.index[row]}` : null;
  };
  const rows = new Map<string, number>();
  for (let row = 0; row < second.n; row += 1) {
    const own = key(second, row);
    if (own !== null && !rows.has(own)) rows.set(own, row);
  }
  const found: Pair[] = [];
  const seen = new Set<string>();
  for (let a = 0; a < first.n; a += 1) {
    const own = key(first, a);
    const b = own === null || seen.has(own) ? undefined : rows.get(own);
    if (own === null || b === undefined) continue;
    seen.add(own);
    const set = first.sets[first.set[a] ?? 0];
    const [one, two] = [first.success[a], second.success[b]];
    found.push({
      a,
      b,
      attack: set?.attack ?? '',
      eps: set?.eps ?? null,
      kind: one ? (two ? 'both' : 'first') : two ? 'second' : 'neither',
    });
  }
  return found;
}
