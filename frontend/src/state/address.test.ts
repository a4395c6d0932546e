import { expect, test } from 'vitest';
import { format, parse, patched } from './address.svelte';

test('an address says its state in one order, and is read back as it was', () => {
  const query = {
    metric: 'cosine',
    example: 'guards~sets~pgd~6',
    view: 'example',
    run: 'a run',
    lasso: 'pca~fc1:1,2,3,4,5,6',
    case: 'fooled, not after 8-bit rounding & more',
  };
  const text = format(query);
  expect(text.startsWith('#view=example&run=a+run&example=guards~sets~pgd~6&case=')).toBe(true);
  expect(parse(text)).toEqual(query);
  expect(format(parse(text))).toBe(text);
});

test('the link that the server prints is understood', () => {
  expect(parse('#view=example&run=digits&example=guards~sets~pgd~6')).toEqual({
    view: 'example',
    run: 'digits',
    example: 'guards~sets~pgd~6',
  });
});

test('a patch adds, changes and takes away', () => {
  expect(patched({ a: '1', b: '2', c: '3' }, { a: 5, b: null, c: '', d: 'x' })).toEqual({ a: '5', d: 'x' });
});
