/** One zoom and one crosshair for all images of an example. The pinned pixel and the zoom are part of the address. */

import { address } from '../../state/address.svelte';

export interface Spot {
  row: number;
  column: number;
}

export const DEEPEST = 16;

export class Lens {
  over = $state<Spot | null>(null);

  constructor(
    readonly height: number,
    readonly width: number,
  ) {}

  /** Scale, and the centre in shares of the image. */
  get zoom(): { scale: number; x: number; y: number } {
    const [scale = 1, x = 0.5, y = 0.5] = address.list('zoom').map(Number);
    return held(Number.isFinite(scale) ? scale : 1, x, y);
  }

  get pinned(): Spot | null {
    const [row, column] = address.list('pixel').map(Number);
    return row !== undefined &&
      column !== undefined &&
      row >= 0 &&
      row < this.height &&
      column >= 0 &&
      column < this.width
      ? { row, column }
      : null;
  }

  get spot(): Spot | null {
    return this.over ?? this.pinned;
  }

  look(scale: number, x: number, y: number): void {
    const next = held(scale, x, y);
    address.set({
      zoom: next.scale <= 1 ? null : [next.scale, next.x, next.y].map((value) => Number(value.toFixed(3))).join(','),
    });
  }

  pin(spot: Spot | null): void {
    address.set({ pixel: spot ? `${spot.row},${spot.column}` : null });
  }

  step(rows: number, columns: number): void {
    const from = this.pinned ?? { row: Math.floor(this.height / 2), column: Math.floor(this.width / 2) };
    this.over = null;
    this.pin({
      row: Math.min(this.height - 1, Math.max(0, from.row + rows)),
      column: Math.min(this.width - 1, Math.max(0, from.column + columns)),
    });
  }

  /** The pixel under a place given in shares of the frame. */
  under(u: number, v: number): Spot {
    const { scale, x, y } = this.zoom;
    const column = Math.floor(((u - 0.5) / scale + x) * this.width);
    const row = Math.floor(((v - 0.5) / scale + y) * this.height);
    return { row: Math.min(this.height - 1, Math.max(0, row)), column: Math.min(this.width - 1, Math.max(0, column)) };
  }
}

/** A zoom whose window lies inside the image. */
export function held(scale: number, x: number, y: number): { scale: number; x: number; y: number } {
  const size = Math.min(DEEPEST, Math.max(1, scale));
  const edge = 0.5 / size;
  const inside = (value: number): number => Math.min(1 - edge, Math.max(edge, Number.isFinite(value) ? value : 0.5));
  return { scale: size, x: inside(x), y: inside(y) };
}
