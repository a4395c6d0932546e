/** The tour: six stops on real examples of the run. */

import type { RunCard } from '../api/answers';
import { format } from '../state/address.svelte';

export interface Stop {
  title: string;
  text: string;
  /** Where to go, beyond the run. */
  query: Readonly<Record<string, string>>;
  /** The id of the heading whose part is outlined. */
  part: string;
}

export function stops(card: RunCard): Stop[] {
  const example = card.start ?? '';
  return [
    {
      title: 'An image that fools the classifier',
      part: 'lane',
      query: { view: 'example', example },
      text: 'The first row is the way through the classifier. Each layer looks at the training images nearest to this one; where most of them belong to another class than the predicted one, it raises an alarm. Click a layer to look closer; the line below shows where the attack begins to bite.',
    },
    {
      title: 'What was changed',
      part: 'images',
      query: { view: 'example', example },
      text: 'Clean and adversarial image, the signed difference, and where the classifier looked (SHAP). Zoom with the wheel: all images follow, and the crosshair reads out every pixel. The key f flips the whole page between the two images.',
    },
    {
      title: 'Whose neighbour is it?',
      part: 'neighbours',
      query: { view: 'example', example, side: 'adversarial' },
      text: 'The nearest training images, nearest first. Dashed orange means: another class. Try another metric or another k; the graph can be opened below.',
    },
    {
      title: 'Which units carry the distance',
      part: 'difference',
      query: { view: 'example', example },
      text: 'Click a neighbour or a line of the graph: both activation vectors, their difference, the units that carry most of it, and what else excites such a unit.',
    },
    {
      title: 'What every detector missed, in words',
      part: 'examples',
      query: { view: 'gallery', case: '4' },
      text: 'All examples, here those that fooled the classifier without an alarm. Every filter says how many examples it would leave. Move the thresholds themselves under Thresholds.',
    },
    {
      title: 'Now you',
      part: 'easel',
      query: { view: 'live', from: example },
      text: 'Paint a pixel and watch the prediction, the layers and the neighbours answer, or let an attack do it step by step.',
    },
  ];
}

/** The address of a stop, counted from 1. */
export function stopHref(card: RunCard, n: number): string {
  const stop = stops(card)[n - 1];
  return stop
    ? format({ run: card.id, ...stop.query, tour: String(n) })
    : format({ view: 'example', run: card.id, example: card.start ?? '' });
}
