/** What the pointer rests on, shared by the parts of a page; it is a glance, so it stays out of the address. */

class Hover {
  layer = $state('');
  neighbour = $state<number | null>(null);
}

export const hover = new Hover();
