/** The pages of the explorer, each once: its word in the address, its tab's name, and where it is loaded from. */

import type { Component } from 'svelte';
import type { Home } from '../api/answers';

export type Body = Component<{ home: Home }> | Component<Record<string, never>>;

interface Page {
  /** The name of its tab; without one it is reached by links only. */
  readonly tab?: string;
  /** Whether it shows one run. */
  readonly run: boolean;
  /** The example page, which most visitors see first, comes with the app itself and has none. */
  readonly load?: () => Promise<{ default: Body }>;
}

export const PAGES = {
  runs: { run: false, load: () => import('./Runs.svelte') },
  example: { tab: 'Example', run: true },
  gallery: { tab: 'Gallery', run: true, load: () => import('./gallery/Gallery.svelte') },
  thresholds: { tab: 'Thresholds', run: true, load: () => import('./Thresholds.svelte') },
  map: { tab: 'Map', run: true, load: () => import('./map/Map.svelte') },
  robustness: { tab: 'Robustness', run: true, load: () => import('./Robustness.svelte') },
  live: { tab: 'Live', run: true, load: () => import('./live/Live.svelte') },
  run: { tab: 'Run', run: true, load: () => import('./Run.svelte') },
  compare: { run: false, load: () => import('./Compare.svelte') },
  glossary: { run: false, load: () => import('./Glossary.svelte') },
} satisfies Record<string, Page>;

export type View = keyof typeof PAGES;

export const page = (view: View): Page => PAGES[view];
export const isView = (word: string | undefined): word is View => word !== undefined && Object.hasOwn(PAGES, word);
export const TABS: readonly (readonly [View, string])[] = (Object.keys(PAGES) as View[]).flatMap((view) => {
  const { tab } = page(view);
  return tab === undefined ? [] : [[view, tab] as const];
});
