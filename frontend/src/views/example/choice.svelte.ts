/** What of an example is being looked at, read from the address: side, layer, metric, k, rule, the compared pair. */

import type { Decision, ExamplePage, Layer, RunPage } from '../../api/answers';
import { address, type Patch } from '../../state/address.svelte';

export type SideName = 'clean' | 'adversarial';
export type Rule = 'tuned' | 'calibrated';
export const MOST_K = 100;

export class Choice {
  constructor(
    readonly page: ExamplePage,
    readonly run: RunPage,
  ) {}

  get side(): SideName {
    return this.page.adversarial && address.text('side') !== 'clean' ? 'adversarial' : 'clean';
  }

  get rule(): Rule {
    return address.text('rule') === 'calibrated' ? 'calibrated' : 'tuned';
  }

  get judged(): Layer[] {
    return this.page.layers.filter((layer) => layer.clean !== null);
  }

  /** The asked layer; else the first judged one that raises an alarm, else the last judged one. */
  get layer(): Layer | undefined {
    const asked = this.page.layers.find((layer) => layer.name === address.text('layer'));
    return (
      asked ??
      this.judged.find((layer) => this.alarms(this.decision(layer))) ??
      this.judged.at(-1) ??
      this.page.layers.at(-1)
    );
  }

  get metric(): string {
    return address.text('metric', 'euclidean');
  }

  get k(): number {
    const own = this.layer ? this.decision(this.layer)?.k : undefined;
    return Math.round(address.number('k', own ?? 12, 1, MOST_K));
  }

  get truth(): boolean {
    return address.text('truth') !== '0';
  }

  get a(): string {
    return address.text('a', this.side);
  }

  get b(): string | null {
    return address.text('b') || (this.page.adversarial ? (this.a === 'clean' ? 'adversarial' : 'clean') : null);
  }

  output = $derived.by(() =>
    this.side === 'adversarial' && this.page.adversarial ? this.page.adversarial : this.page.clean,
  );

  decision(layer: Layer): Decision | null {
    return this.side === 'adversarial' ? layer.adversarial : layer.clean;
  }

  alarms(decision: Decision | null): boolean {
    return decision !== null && (this.rule === 'calibrated' ? decision.calibrated_alarm : decision.alarm);
  }

  name(label: number | null | undefined): string {
    return label === null || label === undefined ? 'none' : (this.run.classes[label] ?? String(label));
  }

  select(patch: Patch): void {
    address.push(patch);
  }

  compare(a: string, b: string): void {
    address.push({ a, b, unit: null });
  }
}

/** In words: a decision, and the limit it was made with. */
export function limits(decision: Decision, rule: Rule): { value: number; limit: number; text: string } {
  return rule === 'tuned'
    ? {
        value: decision.strangers,
        limit: decision.threshold,
        text: `${decision.strangers} of ${decision.k} strangers, alarm above ${decision.threshold}`,
      }
    : {
        value: decision.score,
        limit: decision.limit,
        text: `score ${decision.score.toFixed(2)}, alarm above ${decision.limit.toFixed(2)}`,
      };
}
