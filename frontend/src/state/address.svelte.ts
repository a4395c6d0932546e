/** The whole state of the page lies in the address: back, forward, reload and sharing work because nothing else holds it. */

import { isView, type View } from '../views/pages';

export type Query = Readonly<Record<string, string>>;
export type Patch = Readonly<Record<string, string | number | null | undefined>>;

const FIRST = ['view', 'run', 'example'];

export function parse(hash: string): Query {
  return Object.fromEntries(new URLSearchParams(hash.replace(/^#/, '')));
}

/** `#view=…&run=…`, in a stable order so that equal states have equal addresses. */
export function format(query: Query): string {
  const keys = [
    ...FIRST,
    ...Object.keys(query)
      .filter((key) => !FIRST.includes(key))
      .sort(),
  ];
  const parts = keys
    .filter((key) => query[key])
    .map(
      (key) =>
        `${key}=${encodeURIComponent(query[key] ?? '')
          .replaceAll('%2C', ',')
          .replaceAll('%3A', ':')
          .replaceAll('%20', '+')}`,
    );
  return `#${parts.join('&')}`;
}

/** A query with some keys changed; null, undefined and '' take a key away. */
export function patched(query: Query, patch: Patch): Query {
  const next: Record<string, string> = { ...query };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null || value === undefined || value === '') delete next[key];
    else next[key] = String(value);
  }
  return next;
}

const SETTLE = 200; // milliseconds: browsers refuse more than some hundred history entries a minute

class Address {
  query = $state.raw<Query>({});
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    if (typeof window === 'undefined') return;
    this.query = parse(location.hash);
    addEventListener('popstate', () => this.#read());
    addEventListener('hashchange', () => this.#read());
    addEventListener('pagehide', () => this.#settle());
  }

  get view(): View {
    const asked = this.query.view;
    return isView(asked) ? asked : this.query.example ? 'example' : this.query.run ? 'run' : 'runs';
  }

  get run(): string {
    return this.query.run ?? '';
  }

  text(key: string, otherwise = ''): string {
    return this.query[key] ?? otherwise;
  }

  number(key: string, otherwise: number, low = -Infinity, high = Infinity): number {
    const value = Number(this.query[key]);
    return this.query[key] === undefined || !Number.isFinite(value) ? otherwise : Math.min(high, Math.max(low, value));
  }

  list(key: string): string[] {
    return this.query[key]?.split(',').filter(Boolean) ?? [];
  }

  flag(key: string): boolean {
    return this.query[key] === '1';
  }

  /** The address of the current state with changes. */
  href(patch: Patch): string {
    return format(patched(this.query, patch));
  }

  /** The address of another view: only the run (and what is said here) is taken along. */
  to(view: View, patch: Patch = {}): string {
    return format(patched({}, { view, run: this.run, tour: this.query.tour, ...patch }));
  }

  /** A step that "back" takes back. */
  go(href: string): void {
    this.#settle();
    if (href === format(this.query)) return;
    history.pushState(null, '', href);
    this.query = parse(href);
  }

  push(patch: Patch): void {
    this.go(this.href(patch));
  }

  /** A small change, such as a slider's: it replaces the present entry of the history once it rests. */
  set(patch: Patch): void {
    this.query = patched(this.query, patch);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#settle(), SETTLE);
  }

  #settle(): void {
    clearTimeout(this.#timer);
    if (this.#timer !== undefined) history.replaceState(null, '', format(this.query));
    this.#timer = undefined;
  }

  #read(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.query = parse(location.hash);
  }
}

export const address = new Address();
