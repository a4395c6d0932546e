/** What belongs to the reader and not to the address: colours, and whether motion is welcome. */

export type Theme = 'auto' | 'light' | 'dark';
const KEY = 'pixelproof-theme';

class Taste {
  theme = $state<Theme>('auto');

  constructor() {
    if (typeof window === 'undefined') return;
    try {
      const stored = localStorage.getItem(KEY);
      if (stored === 'light' || stored === 'dark') this.theme = stored;
    } catch {
      return; // storage may be refused: then the system's colours hold
    }
    this.show();
  }

  next(): void {
    this.theme = this.theme === 'auto' ? 'dark' : this.theme === 'dark' ? 'light' : 'auto';
    try {
      localStorage.setItem(KEY, this.theme);
    } catch {
      // not kept beyond this page
    }
    this.show();
  }

  show(): void {
    if (this.theme === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = this.theme;
  }

  get dark(): boolean {
    return this.theme === 'dark' || (this.theme === 'auto' && matchMedia('(prefers-color-scheme: dark)').matches);
  }

  get still(): boolean {
    return matchMedia('(prefers-reduced-motion: reduce)').matches;
  }
}

export const taste = new Taste();
