/** Labels at wanted heights, moved apart as little as needed, in their order. */
export function spread(wanted: readonly number[], gap: number, top: number, bottom: number): number[] {
  const order = wanted.map((value, i) => ({ value, i })).sort((a, b) => a.value - b.value || a.i - b.i);
  const placed: number[] = [];
  for (const each of order) placed.push(Math.max(each.value, (placed.at(-1) ?? -Infinity) + gap, top));
  let limit = bottom;
  for (let i = placed.length - 1; i >= 0; i -= 1) {
    placed[i] = Math.min(placed[i] ?? 0, limit);
    limit = (placed[i] ?? 0) - gap;
  }
  const out = new Array<number>(wanted.length);
  order.forEach((each, i) => (out[each.i] = placed[i] ?? each.value));
  return out;
}
