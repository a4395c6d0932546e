import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

// Two bundles of the same sources: modules with dynamic parts for the server, and one classic script for a static copy,
// because browsers do not load modules from file:// addresses.
export default defineConfig(({ mode }) => ({
  plugins: [svelte()],
  base: './',
  define: { __STATIC__: JSON.stringify(mode === 'export') },
  build:
    mode === 'export'
      ? {
          outDir: '../src/pixelproof/web/static/export',
          emptyOutDir: true,
          target: 'es2022',
          cssCodeSplit: false,
          lib: {
            entry: 'src/main.ts',
            formats: ['iife'],
            name: 'pixelproof',
            fileName: () => 'app.js',
            cssFileName: 'app',
          },
        }
      : {
          outDir: '../src/pixelproof/web/static',
          emptyOutDir: true,
          target: 'es2022',
          modulePreload: { polyfill: false },
        },
  server: { proxy: { '/api': 'http://127.0.0.1:8477' } },
  test: { environment: 'node', include: ['src/**/*.test.ts'] },
}));
