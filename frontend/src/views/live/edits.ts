/** Painted pixels, short enough for an address: `place.hex`, grey in two digits, colours in six. */

export type Edits = ReadonlyMap<number, readonly number[]>;

export function parse(text: string, channels: number, pixels: number): Edits {
  const found = new Map<number, readonly number[]>();
  for (const part of text.split(',')) {
    const [place, hex] = part.split('.');
    const at = Number(place);
    if (
      !hex ||
      hex.length !== 2 * channels ||
      !/^[0-9a-f]+$/.test(hex) ||
      !Number.isInteger(at) ||
      at < 0 ||
      at >= pixels
    )
      continue;
    found.set(
      at,
      Array.from({ length: channels }, (_, c) => Number.parseInt(hex.slice(2 * c, 2 * c + 2), 16) / 255),
    );
  }
  return found;
}

export const format = (edits: Edits): string =>
  [...edits]
    .map(
      ([place, values]) =>
        `${place}.${values
          .map((value) =>
            Math.round(255 * value)
              .toString(16)
              .padStart(2, '0'),
          )
          .join('')}`,
    )
    .join(',');

/** The image with the painted pixels put in. */
export function applied(base: Float32Array, edits: Edits, pixels: number): Float32Array {
  const out = base.slice();
  for (const [place, values] of edits) values.forEach((value, c) => (out[c * pixels + place] = value));
  return out;
}
