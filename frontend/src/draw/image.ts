/** Images as pixels: exact values from the server, drawn at native size and scaled without smoothing. */

import type { Tensor } from '../api/client';
import { diverging } from './colour';

/** One image's values (c, h, w). */
export interface Image {
  values: Float32Array;
  channels: number;
  height: number;
  width: number;
}

/** Image `i` of a tensor (n, c, h, w), without copying. */
export function slice(tensor: Tensor, i: number): Image {
  const [n = 0, channels = 1, height = 1, width = 1] = tensor.shape;
  if (i < 0 || i >= n) throw new RangeError(`image ${i} of ${n}`);
  const size = channels * height * width;
  return { values: tensor.values.subarray(i * size, (i + 1) * size), channels, height, width };
}

/** The values of all channels at a pixel. */
export function at(image: Image, row: number, column: number): number[] {
  const plane = image.height * image.width;
  return Array.from({ length: image.channels }, (_, c) => image.values[c * plane + row * image.width + column] ?? NaN);
}

export function minus(a: Image, b: Image): Image {
  return { ...a, values: a.values.map((value, i) => value - (b.values[i] ?? 0)) };
}

export const largest = (image: Image): number =>
  image.values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/** Values in [0, 1] as they look: grey or RGB. */
export function photo(image: Image): Uint8ClampedArray<ArrayBuffer> {
  const plane = image.height * image.width;
  const out = new Uint8ClampedArray(plane * 4);
  for (let i = 0; i < plane; i += 1) {
    for (let c = 0; c < 3; c += 1)
      out[4 * i + c] = 255 * (image.values[(image.channels >= 3 ? c : 0) * plane + i] ?? 0);
    out[4 * i + 3] = 255;
  }
  return out;
}

/** Signed values on the zero-centred diverging scale: the sum over channels, `limit` being its end. */
export function signed(image: Image, limit: number): Uint8ClampedArray<ArrayBuffer> {
  const plane = image.height * image.width;
  const out = new Uint8ClampedArray(plane * 4);
  for (let i = 0; i < plane; i += 1) {
    let sum = 0;
    for (let c = 0; c < image.channels; c += 1) sum += image.values[c * plane + i] ?? 0;
    const colour = diverging(limit > 0 ? sum / limit : 0);
    for (let c = 0; c < 3; c += 1) out[4 * i + c] = colour[c] ?? 0;
    out[4 * i + 3] = 255;
  }
  return out;
}

/** The largest |sum over channels| of any pixel: the end of a signed scale. */
export function limitOf(image: Image): number {
  const plane = image.height * image.width;
  let most = 0;
  for (let i = 0; i < plane; i += 1) {
    let sum = 0;
    for (let c = 0; c < image.channels; c += 1) sum += image.values[c * plane + i] ?? 0;
    most = Math.max(most, Math.abs(sum));
  }
  return most;
}

export function show(canvas: HTMLCanvasElement, image: Image, pixels: Uint8ClampedArray<ArrayBuffer>): void {
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext('2d')?.putImageData(new ImageData(pixels, image.width, image.height), 0, 0);
}
