/** The neighbours of the looked-at image, for every part of the page that speaks of them. */

import { addressOf } from '../../api/client';
import { PATHS } from '../../api/answers';
import type { ExampleNeighbours, Side } from '../../api/answers';
import { address } from '../../state/address.svelte';
import { load, type Load } from '../../state/load.svelte';
import type { Choice } from './choice.svelte';

export interface Hood {
  readonly found: Load<ExampleNeighbours>;
  readonly side: Side | null;
  /** The place of the side's first tile in the atlas. */
  readonly offset: number;
  readonly k: number;
}

export function neighbours(choice: () => Choice): Hood {
  const found = load<ExampleNeighbours>(() => {
    const { page, layer, metric } = choice();
    return layer?.clean
      ? addressOf(PATHS.NEIGHBOURS, { run: page.run, example: page.id, layer: layer.name, metric: metric })
      : null;
  });

  // Without a choice of one's own, the metric is the guard's.
  $effect(() => {
    const own = found.value?.guard_metric;
    if (own && !address.query.metric && own !== choice().metric) address.set({ metric: own });
  });

  const side = $derived(
    found.value
      ? choice().side === 'adversarial' && found.value.adversarial
        ? found.value.adversarial
        : found.value.clean
      : null,
  );
  return {
    found,
    get side() {
      return side;
    },
    get offset() {
      return found.value && side === found.value.adversarial ? found.value.clean.index.length : 0;
    },
    get k() {
      return Math.min(choice().k, side?.index.length ?? choice().k);
    },
  };
}
