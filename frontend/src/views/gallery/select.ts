/** The gallery's rows: which pass the filters, how many each choice would leave, and in which order. */

import type { DetectorColumn, Gallery } from '../../api/answers';

export const FACETS = ['attack', 'eps', 'case', 'class', 'predicted', 'outcome', 'source'] as const;
export type Facet = (typeof FACETS)[number];
export type Filters = Readonly<Partial<Record<Facet, readonly string[]>>>;
export type Order = 'place' | 'score' | 'margin' | 'l0' | 'l1' | 'l2' | 'linf';

export interface Wanted {
  filters: Filters;
  /** A test image's number. */
  image: number | null;
  /** Rows inside a lasso, or null for no lasso. */
  inside: ReadonlySet<number> | null;
}

export interface Option {
  value: string;
  name: string;
  n: number;
}

export const OUTCOMES = ['clean', 'fooled', 'fooled, not after 8-bit rounding', 'attack failed'] as const;

/** Every row's value of every facet. */
export function facets(gallery: Gallery, column: DetectorColumn | null): Record<Facet, string[]> {
  const sets = gallery.sets;
  const attack = sets.map((set) => set.attack ?? 'clean');
  const eps = sets.map((set) =>
    set.attack === null ? 'clean' : set.eps === null ? 'no budget' : `${set.norm ?? ''}:${set.eps}`,
  );
  const of = <T>(make: (row: number) => T): T[] => Array.from({ length: gallery.n }, (_, row) => make(row));
  const set = (row: number): number => gallery.set[row] ?? 0;
  return {
    attack: of((row) => attack[set(row)] ?? ''),
    eps: of((row) => eps[set(row)] ?? ''),
    case: of((row) => String(column?.case[row] ?? 0)),
    class: of((row) => String(gallery.label[row])),
    predicted: of((row) => String(gallery.predicted[row])),
    outcome: of((row) =>
      sets[set(row)]?.attack === null
        ? OUTCOMES[0]
        : !gallery.success[row]
          ? OUTCOMES[3]
          : gallery.success_8bit[row]
            ? OUTCOMES[1]
            : OUTCOMES[2],
    ),
    source: of((row) => sets[set(row)]?.source ?? ''),
  };
}

/** Rows that pass every filter; `but` leaves one facet out, to count what its choices would give. */
export function passing(values: Record<Facet, string[]>, gallery: Gallery, wanted: Wanted, but?: Facet): number[] {
  const active = FACETS.filter((facet) => facet !== but && (wanted.filters[facet]?.length ?? 0) > 0).map(
    (facet) => [values[facet], new Set(wanted.filters[facet])] as const,
  );
  const rows: number[] = [];
  for (let row = 0; row < gallery.n; row += 1) {
    if (wanted.image !== null && gallery.index[row] !== wanted.image) continue;
    if (wanted.inside && !wanted.inside.has(row)) continue;
    if (active.every(([column, allowed]) => allowed.has(column[row] ?? ''))) rows.push(row);
  }
  return rows;
}

/** The choices of a facet with counts, in the given order or by first appearance. */
export function options(
  column: readonly string[],
  rows: readonly number[],
  name: (value: string) => string,
  order: readonly string[] = [],
): Option[] {
  const counts = new Map<string, number>(order.map((value) => [value, 0]));
  for (const value of column) if (!counts.has(value)) counts.set(value, 0);
  for (const row of rows) counts.set(column[row] ?? '', (counts.get(column[row] ?? '') ?? 0) + 1);
  return [...counts].map(([value, n]) => ({ value, name: name(value), n }));
}

/** Rows in order; what has no value comes last either way. Equal values keep their place. */
export function sorted(
  rows: readonly number[],
  gallery: Gallery,
  column: DetectorColumn | null,
  order: Order,
  down: boolean,
): number[] {
  if (order === 'place') return down ? [...rows].reverse() : [...rows];
  const values = order === 'score' ? column?.score : order === 'margin' ? gallery.margin : gallery.distance[order];
  const sign = down ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [x, y] = [values?.[a] ?? null, values?.[b] ?? null];
    if (x === null || y === null) return x === y ? a - b : x === null ? 1 : -1;
    return sign * (x - y) || a - b;
  });
}
