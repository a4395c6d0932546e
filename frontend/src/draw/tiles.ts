/** Where a tile lies in its atlas. */

import type { Atlas } from '../api/answers';

export interface Place {
  href: string;
  x: number;
  y: number;
  width: number;
  height: number;
}

/** Tile `i` when tiles are shown `size` pixels wide: the page, its offset, and the whole page's size on the screen. */
export function tileAt(atlas: Atlas, i: number, size: number): Place {
  const each = atlas.columns * atlas.rows;
  const page = Math.floor(i / each);
  const place = i % each;
  // The last page may be shorter than the others, and a smaller image would be stretched.
  const rows = page === atlas.pages - 1 ? Math.ceil((atlas.tiles - page * each) / atlas.columns) : atlas.rows;
  return {
    href: atlas.href.replace('{page}', String(page)),
    x: (place % atlas.columns) * size,
    y: Math.floor(place / atlas.columns) * size,
    width: atlas.columns * size,
    height: rows * size,
  };
}
