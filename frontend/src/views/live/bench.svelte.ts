/** The live page's state: the image it began with, what was painted on it, what an attack made of it, and the answers. */

import { PATHS } from '../../api/answers';
import { addressOf, isMissing, listen, pack, remove, send, unpack, Refused, type Found } from '../../api/client';
import type { Ask, Job, JobStep, Judged, Missing, Mount } from '../../api/answers';
import { address } from '../../state/address.svelte';
import { applied, format, parse, type Edits } from './edits';
import { Latest } from './latest';

const MOST_STEPS = 600; // remembered steps of an attack: enough for every default, and not too much memory

export class Bench {
  /** The image that painting starts from; an attack's result or an upload replaces it. */
  base = $state.raw<Float32Array>(new Float32Array());
  judged = $state.raw<Judged | null>(null);
  before = $state.raw<Judged | null>(null);
  missing = $state.raw<Missing | null>(null);
  error = $state('');
  steps = $state.raw<JobStep[]>([]);
  running = $state(false);
  /** The attack that runs or ran last, with the value of every setting. */
  used = $state('');
  at = $state<number | null>(null);
  readonly pixels: number;
  #session = `s${Math.random().toString(36).slice(2, 14)}`;
  #sequence = 0;
  #stream: EventSource | null = null;
  #job: string | null = null;
  #unwanted = false;
  #asking: Latest<{ pixels: Float32Array; first: boolean }, Found<Judged>>;

  constructor(
    readonly run: string,
    readonly shape: readonly [number, number, number],
    start: Float32Array,
  ) {
    this.pixels = shape[1] * shape[2];
    this.base = start;
    this.#asking = new Latest(
      ({ pixels }) =>
        send<Found<Judged>>(addressOf(PATHS.JUDGE, { run }), {
          session: this.#session,
          sequence: (this.#sequence += 1),
          pixels: pack(pixels),
        } satisfies Ask),
      (found, { first }) => this.#told(found, first),
      (reason) => {
        if (!(reason instanceof Refused && reason.status === 409))
          this.error = reason instanceof Error ? reason.message : String(reason);
      },
    );
  }

  get edits(): Edits {
    return parse(address.text('edits'), this.shape[0], this.pixels);
  }

  /** The image as it is now: a remembered step of the attack, or the base with what was painted. */
  image = $derived.by(() => {
    const step = this.at === null ? undefined : this.steps[this.at];
    if (step?.pixels) return unpack(step.pixels);
    return applied(this.base, this.edits, this.pixels);
  });

  ask(first = false): void {
    this.#asking.put({ pixels: this.image, first });
  }

  paint(place: number, values: readonly number[]): void {
    if (this.at !== null) this.keep();
    const edits = new Map(this.edits);
    edits.set(place, values);
    address.set({ edits: format(edits) });
  }

  undo(): void {
    const edits = [...this.edits];
    edits.pop();
    address.set({ edits: format(new Map(edits)) });
  }

  /** Go on from the step that is shown. */
  keep(): void {
    this.base = this.image;
    this.at = null;
    this.steps = [];
    address.set({ edits: null });
  }

  replace(base: Float32Array): void {
    this.stop();
    this.base = base;
    this.steps = [];
    this.at = null;
    this.before = null;
    address.set({ edits: null });
  }

  async attack(mount: Omit<Mount, 'session' | 'pixels'>): Promise<void> {
    this.stop();
    this.error = '';
    const pixels = this.image;
    this.base = pixels;
    this.steps = [];
    this.at = null;
    this.running = true;
    this.#unwanted = false;
    this.used = '';
    address.set({ edits: null });
    try {
      const job = await send<Found<Job>>(addressOf(PATHS.JOBS, { run: this.run }), {
        ...mount,
        session: this.#session,
        pixels: pack(pixels),
      } satisfies Mount);
      if (isMissing(job)) {
        this.error = `${job.why} ${job.add}`;
        this.running = false;
        return;
      }
      this.#job = job.job;
      this.used = job.used;
      if (this.#unwanted) this.cancel();
      this.#listen(job);
    } catch (reason) {
      this.error = reason instanceof Error ? reason.message : String(reason);
      this.running = false;
    }
  }

  cancel(): void {
    const job = this.#job;
    this.#unwanted = true; // an attack that has no name yet is cancelled as soon as it has one
    if (job) void remove(addressOf(PATHS.JOB, { job })).catch(() => undefined);
  }

  stop(): void {
    if (this.running) this.cancel();
    this.#stream?.close();
    this.#stream = null;
    this.#job = null;
    this.running = false;
  }

  close(): void {
    this.stop();
    this.#asking.stop();
  }

  #listen(job: Job): void {
    const stream = listen(job.events);
    this.#stream = stream;
    stream.onmessage = (event: MessageEvent<string>) => {
      const step = JSON.parse(event.data) as JobStep;
      if (step.error) this.error = step.error;
      const last = this.steps.at(-1);
      const next =
        step.pixels === null && last ? { ...step, pixels: last.pixels, output: step.output ?? last.output } : step;
      this.steps = [...(this.steps.length >= MOST_STEPS ? this.steps.filter((_, i) => i % 2 === 0) : this.steps), next];
      this.at = this.steps.length - 1;
      if (step.done) {
        stream.close();
        this.running = false;
      }
    };
    stream.onerror = () => {
      stream.close();
      if (this.running && this.#stream === stream) this.error = 'The connection to the attack was lost.';
      this.running = false;
    };
  }

  #told(found: Found<Judged>, first: boolean): void {
    if (isMissing(found)) {
      this.missing = found;
      return;
    }
    this.error = '';
    this.judged = found;
    if (first || this.before === null) this.before = found;
  }
}
