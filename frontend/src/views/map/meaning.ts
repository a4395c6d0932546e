/** What a point's colour stands for. */

import type { Gallery, Projection } from '../../api/answers';
import { classColour, lineColour, OKABE } from '../../draw/colour';

export const BY = [
  { id: 'class', name: 'true class' },
  { id: 'predicted', name: 'predicted class' },
  { id: 'outcome', name: 'outcome' },
  { id: 'attack', name: 'attack' },
] as const;
export type By = (typeof BY)[number]['id'];

export interface Entry {
  value: string;
  name: string;
  colour: string;
  n: number;
}

const OUTCOME = [
  { name: 'clean', colour: OKABE.blue },
  { name: 'fooled', colour: OKABE.vermillion },
  { name: 'attack failed', colour: OKABE.green },
] as const;

/** The value of every point, and the legend: only what occurs, with counts. */
export function meaning(
  map: Projection,
  rows: Gallery,
  classes: readonly string[],
  by: By,
): { values: string[]; legend: Entry[] } {
  const attacks = [...new Set(rows.sets.map((set) => set.attack ?? 'clean'))];
  const attack = (i: number): string => rows.sets[map.set[i] ?? 0]?.attack ?? 'clean';
  const values = Array.from({ length: map.n }, (_, i) => {
    if (by === 'class') return String(map.label[i]);
    if (by === 'predicted') return String(map.predicted[i]);
    if (by === 'attack') return attack(i);
    return attack(i) === 'clean' ? 'clean' : map.success[i] ? 'fooled' : 'attack failed';
  });
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const all: { value: string; name: string; colour: string }[] =
    by === 'outcome'
      ? OUTCOME.map((each) => ({ value: each.name, ...each }))
      : by === 'attack'
        ? attacks.map((name, i) => ({ value: name, name, colour: name === 'clean' ? '#7f7f7f' : lineColour(i) }))
        : classes.map((name, i) => ({ value: String(i), name, colour: classColour(i) }));
  return {
    values,
    legend: all.flatMap((entry) => (counts.has(entry.value) ? [{ ...entry, n: counts.get(entry.value) ?? 0 }] : [])),
  };
}
