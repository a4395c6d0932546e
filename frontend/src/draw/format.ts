/** Numbers in words and figures, the same way everywhere. */

import type { Estimate, Rate } from '../api/answers';

export const MINUS = '−';

/** Three significant figures, plain where that is short. */
export function figure(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  if (value === 0) return '0';
  const size = Math.abs(value);
  const text =
    size >= 1e5 || size < 1e-4 ? value.toExponential(digits - 1) : Number(value.toPrecision(digits)).toString();
  return text.replace('-', MINUS);
}

/** The size of a change as people write it: a short decimal, a fraction of 255, or else four figures of it. */
export function budget(eps: number | null | undefined): string {
  if (eps === null || eps === undefined || !Number.isFinite(eps)) return '–';
  const top = Number((eps * 255).toPrecision(6));
  const written = [
    { text: String(Number(eps.toPrecision(8))), value: Number(eps.toPrecision(8)) },
    { text: `${top}/255`, value: top / 255 },
  ].find(({ text, value }) => text.length <= 8 && value === eps);
  return written?.text ?? figure(eps, 4);
}

export function percent(share: number | null | undefined, digits = 0): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return '–';
  const value = 100 * share;
  const text = value.toFixed(digits);
  if (digits === 0 && value > 0 && value < 0.5) return '< 1 %';
  if (digits === 0 && value < 100 && value >= 99.5) return '> 99 %';
  return `${text} %`;
}

export const count = (value: number): string => value.toLocaleString('en-US').replaceAll(',', '\u00a0');

export const rate = (found: Rate): string =>
  found.value === null
    ? `none counted`
    : `${percent(found.value, 1)} (${(100 * found.low).toFixed(1)}–${percent(found.high, 1)}; ${count(found.hits)} of ${count(found.n)})`;

export const estimate = (found: Estimate, digits = 3): string =>
  `${found.value.toFixed(digits)} (${found.low.toFixed(digits)}–${found.high.toFixed(digits)})`;

export const plural = (value: number, one: string, many = `${one}s`): string =>
  `${count(value)} ${value === 1 ? one : many}`;

/** A difference of two shares in percentage points, with its sign. */
export const points = (value: number): string => `${value < 0 ? MINUS : '+'}${(100 * Math.abs(value)).toFixed(1)}`;

/** Seconds since 1970 as a date and time of the reader's place. */
export const moment = (seconds: number): string =>
  new Date(1000 * seconds).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });

export const NORMS: Readonly<Record<string, string>> = { l0: 'L0', l1: 'L1', l2: 'L2', linf: 'L∞' };
export const norm = (name: string): string => NORMS[name] ?? name;

export const METRICS = [
  { id: 'euclidean', name: 'L2 Euclidean' },
  { id: 'manhattan', name: 'L1 Manhattan' },
  { id: 'chebyshev', name: 'L∞ Chebyshev' },
  { id: 'cosine', name: 'cosine' },
] as const;
