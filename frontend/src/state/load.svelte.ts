/** Answers of the server as reactive values: asked for once, kept, and never blanked while the next one is under way. */

import { get, isMissing, numbers, type Found, type Tensor } from '../api/client';
import type { Missing } from '../api/answers';

const MOST = 400;
const kept = new Map<string, Promise<unknown>>();
const settled = new Map<string, unknown>();

/** The answer to an address; the same promise for the same address. */
export function answer<T>(at: string, ask: (at: string) => Promise<T> = get): Promise<T> {
  const found = kept.get(at);
  if (found) return found as Promise<T>;
  const asked = ask(at).then(
    (value) => {
      settled.set(at, value);
      return value;
    },
    (reason: unknown) => {
      kept.delete(at);
      throw reason;
    },
  );
  kept.set(at, asked);
  const oldest = kept.keys().next().value;
  if (kept.size > MOST && oldest !== undefined) {
    kept.delete(oldest);
    settled.delete(oldest);
  }
  return asked;
}

/** Ask for what will probably be wanted next. */
export const ahead = (at: string): void => void answer(at).catch(() => undefined);

/** Whether a part is there yet, missing from the run, or failed. */
export class Load<T> {
  value = $state.raw<T | undefined>();
  missing = $state.raw<Missing | undefined>();
  error = $state<string | undefined>();
  busy = $state(false);
  again = $state(0);

  take(found: Found<T>): void {
    this.error = undefined;
    if (isMissing(found)) {
      this.missing = found;
      this.value = undefined;
    } else {
      this.missing = undefined;
      this.value = found;
    }
    this.busy = false;
  }

  fail(reason: unknown): void {
    this.error = reason instanceof Error ? reason.message : String(reason);
    this.value = undefined;
    this.missing = undefined;
    this.busy = false;
  }

  retry = (): void => void (this.again += 1);
}

/** Follows an address; call it while a component is set up. Null asks for nothing. */
export function load<T>(where: () => string | null, ask: (at: string) => Promise<Found<T>> = get): Load<T> {
  const state = new Load<T>();
  $effect.pre(() => {
    void state.again;
    const at = where();
    if (at === null) {
      state.value = undefined;
      state.missing = undefined;
      state.error = undefined;
      state.busy = false;
      return;
    }
    if (settled.has(at)) {
      state.take(settled.get(at) as Found<T>);
      return;
    }
    let current = true;
    state.busy = true;
    answer(at, ask).then(
      (found) => void (current && state.take(found)),
      (reason) => void (current && state.fail(reason)),
    );
    return () => void (current = false);
  });
  return state;
}

/** Raw numbers behind an address. */
export const loadNumbers = (where: () => string | null): Load<Tensor> => load<Tensor>(where, (at) => numbers(at));
