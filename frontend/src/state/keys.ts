/** Keys of a page: none of them while someone types, and none with a modifier, which belong to the browser. */

export type Keys = Readonly<Record<string, (event: KeyboardEvent) => void>>;

const TYPING = 'input:not([type=checkbox]):not([type=radio]):not([type=range]), textarea, select, dialog, [data-keys]';

export function keyed(event: KeyboardEvent, keys: Keys): void {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target instanceof Element ? event.target : null;
  const found = keys[event.key];
  if (!found) return;
  if (target?.closest(TYPING)) return;
  if (event.key.startsWith('Arrow') && target?.closest('input, [role=slider], [role=grid], [role=tablist]')) return;
  event.preventDefault();
  found(event);
}
