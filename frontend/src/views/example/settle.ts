/** The layout of the neighbour graph: forces run to rest before anything is painted. */

import { forceCollide, forceLink, forceSimulation, forceX, forceY, type SimulationLinkDatum } from 'd3-force';
import type { Graph } from '../../api/answers';

export interface Placed {
  place: number;
  image: number | null;
  label: number;
  distance: number;
  x: number;
  y: number;
  vx?: number;
  vy?: number;
  fx?: number | null;
  fy?: number | null;
}

interface Spring extends SimulationLinkDatum<Placed> {
  distance: number;
}

export interface Settled {
  links: { a: number; b: number; distance: number }[];
  nodes(): Placed[];
  pull(place: number, x: number, y: number, still: boolean, paint: (nodes: Placed[]) => void): void;
  release(place: number, still: boolean): void;
  stop(): void;
}

const ROUNDS = 220;
const GAP = 20; // pixels that two tiles keep from each other, half a tile and a little

/** Starts from the server's plane, keeps the first `kept` nodes, and ends where true distances and room agree best. */
export function settle(graph: Graph, kept: number, width: number, height: number): Settled {
  const half = Math.min(width, height) / 2 - 34;
  const wide = Math.min(1.9, width / height);
  const nodes: Placed[] = graph.nodes.slice(0, kept).map((node, place) => ({
    place,
    image: node.index,
    label: node.label,
    distance: node.distance,
    x: width / 2 + node.x * half * wide,
    y: height / 2 + node.y * half,
  }));
  const links = graph.links.filter((link) => link.a < kept && link.b < kept);
  const longest = Math.max(1e-9, ...links.map((link) => link.distance));
  const springs: Spring[] = links.map((link) => ({ source: link.a, target: link.b, distance: link.distance }));
  const force = forceSimulation<Placed>(nodes)
    .force(
      'spring',
      forceLink<Placed, Spring>(springs)
        .id((_, i) => i)
        .distance((link) => 40 + (link.distance / longest) * half * 0.95)
        .strength(0.12),
    )
    .force('room', forceCollide<Placed>(GAP))
    .force('x', forceX<Placed>(width / 2).strength(0.02))
    .force('y', forceY<Placed>(height / 2).strength(0.05))
    .stop();
  force.tick(ROUNDS);
  const inside = (): Placed[] =>
    nodes.map((node) => ({
      ...node,
      x: Math.min(width - 20, Math.max(20, node.x)),
      y: Math.min(height - 26, Math.max(20, node.y)),
    }));

  return {
    links,
    nodes: inside,
    pull(place, x, y, still, paint) {
      const node = nodes[place];
      if (!node) return;
      node.fx = node.x = x;
      node.fy = node.y = y;
      if (still) paint(inside());
      else
        force
          .on('tick', () => paint(inside()))
          .alphaTarget(0.2)
          .restart();
    },
    release(place, still) {
      const node = nodes[place];
      if (node) node.fx = node.fy = null;
      if (!still) force.alphaTarget(0);
    },
    stop: () => void force.stop(),
  };
}
