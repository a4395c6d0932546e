/** Colours: Okabe and Ito's palette (2008), which people with any common colour vision can tell apart. */

export const OKABE = {
  black: '#000000',
  orange: '#e69f00',
  sky: '#56b4e9',
  green: '#009e73',
  yellow: '#f0e442',
  blue: '#0072b2',
  vermillion: '#d55e00',
  purple: '#cc79a7',
} as const;

const CLASSES = [
  OKABE.blue,
  OKABE.orange,
  OKABE.green,
  OKABE.purple,
  OKABE.sky,
  OKABE.vermillion,
  OKABE.yellow,
  '#7f7f7f',
  '#8c613c',
  '#6f5bb5',
];

/** One colour per class; classes beyond ten begin again, so a label always stands beside the colour. */
export const classColour = (label: number): string =>
  CLASSES[((label % CLASSES.length) + CLASSES.length) % CLASSES.length] ?? '#7f7f7f';

export const LINES = [
  OKABE.blue,
  OKABE.vermillion,
  OKABE.green,
  OKABE.purple,
  OKABE.orange,
  OKABE.sky,
  '#8c613c',
  '#7f7f7f',
];
export const DASHES = ['', '6 3', '2 3', '8 3 2 3'];

export const lineColour = (place: number): string => LINES[place % LINES.length] ?? '#7f7f7f';
export const lineDash = (place: number): string => DASHES[Math.floor(place / LINES.length) % DASHES.length] ?? '';

export type Rgb = readonly [number, number, number];
const NEGATIVE: Rgb = [0, 114, 178];
const ZERO: Rgb = [247, 247, 247];
const POSITIVE: Rgb = [213, 94, 0];

/** -1 blue, 0 near-white, 1 vermillion; values beyond are cut. */
export function diverging(value: number): Rgb {
  const size = Math.min(1, Math.abs(value));
  const end = value < 0 ? NEGATIVE : POSITIVE;
  return [0, 1, 2].map((i) => Math.round((ZERO[i] ?? 0) + size * ((end[i] ?? 0) - (ZERO[i] ?? 0)))) as unknown as Rgb;
}

export const rgb = (value: number): string => `rgb(${diverging(value).join(' ')})`;

export function hexRgb(hex: string): Rgb {
  const value = Number.parseInt(hex.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

export const rgbHex = (colour: readonly number[]): string =>
  `#${colour
    .map((part) =>
      Math.round(Math.min(255, Math.max(0, part)))
        .toString(16)
        .padStart(2, '0'),
    )
    .join('')}`;
