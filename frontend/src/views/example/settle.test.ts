import { expect, test } from 'vitest';
import type { Graph } from '../../api/answers';
import { settle } from './settle';

const graph: Graph = {
  available: true,
  layer: 'fc1',
  metric: 'euclidean',
  side: 'clean',
  near: 1,
  stress: 0.1,
  nodes: [0, 1, 2, 3, 4, 5].map((i) => ({ index: i === 0 ? null : 100 + i, label: 1, distance: i, x: 0.1 * i, y: 0 })),
  links: [1, 2, 3, 4, 5].map((b) => ({ a: 0, b, distance: b })),
};

test('tiles do not overlap once the graph has settled, and keep whose image they are', () => {
  const { nodes, links } = settle(graph, 5, 800, 400);
  const placed = nodes();
  expect(placed.map((node) => node.image)).toEqual([null, 101, 102, 103, 104]);
  expect(links).toHaveLength(4);
  placed.forEach((a, i) =>
    placed.slice(i + 1).forEach((b) => expect(Math.hypot(a.x - b.x, a.y - b.y)).toBeGreaterThan(30)),
  );
  expect(placed.every((node) => node.x >= 0 && node.x <= 800 && node.y >= 0 && node.y <= 400)).toBe(true);
});

test('the same graph settles the same way', () => {
  expect(settle(graph, 6, 800, 400).nodes()).toEqual(settle(graph, 6, 800, 400).nodes());
});

test('a pulled node stays where it was put', () => {
  const settled = settle(graph, 4, 800, 400);
  let last = settled.nodes();
  settled.pull(2, 300, 200, true, (nodes) => (last = nodes));
  expect([last[2]?.x, last[2]?.y]).toEqual([300, 200]);
  settled.stop();
});
