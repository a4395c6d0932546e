import type { Missing } from './answers';

/** An answer that is there, or the reason why this run has none. */
export type Found<T> = T | Missing;

export const isMissing = (answer: unknown): answer is Missing =>
  typeof answer === 'object' && answer !== null && 'available' in answer && answer.available === false;

/** A refusal of the server: its own sentence. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** Raw numbers with their shape. */
export interface Tensor {
  values: Float32Array;
  shape: number[];
}

/** What an exported copy's files hold: JSON, or numbers as base64 with their shape. */
type Packed = { json: unknown } | { base64: string; shape: number[] };

declare global {
  interface Window {
    /** Called by every data file of an exported copy. */
    pixelproof_data?: (address: string, content: Packed) => void;
  }
}

/** JSON under api/, for example `get<Gallery>('runs/digits/gallery')`; '' is the list of runs. */
export async function get<T>(address: string, signal?: AbortSignal): Promise<T> {
  if (__STATIC__) {
    const packed = await packedFile(address);
    if (!('json' in packed)) throw new Refused(404, `${address} holds no JSON.`);
    return packed.json as T;
  }
  const answer = await ask(address, { signal: signal ?? null });
  return (await answer.json()) as T;
}

/** Numbers under api/, for example the `href` of any Numbers. */
export async function numbers(address: string, signal?: AbortSignal): Promise<Tensor> {
  if (__STATIC__) {
    const packed = await packedFile(address);
    if (!('base64' in packed)) throw new Refused(404, `${address} holds no numbers.`);
    return { values: unpack(packed.base64), shape: packed.shape };
  }
  const answer = await ask(address, { signal: signal ?? null });
  const shape = (answer.headers.get('X-Shape') ?? '').split(',').map(Number);
  return { values: new Float32Array(await answer.arrayBuffer()), shape };
}

/** An address of PATHS with its places filled; every place that a path has must be given. */
export function addressOf<P extends string>(path: P, places: Record<Places<P>, string | number>): string {
  return path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(places[name as Places<P>])));
}

type Places<P extends string> = P extends `${string}{${infer Name}}${infer Rest}` ? Name | Places<Rest> : never;

/** The address of an image under api/, for `src` attributes. */
export const picture = (address: string): string => `api/${address}`;

/** Send JSON and get JSON, for the live page. */
export async function send<T>(address: string, body: unknown, signal?: AbortSignal): Promise<T> {
  const answer = await ask(address, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    signal: signal ?? null,
  });
  return (await answer.json()) as T;
}

/** Send a file as it is, for uploads. */
export async function sendFile<T>(address: string, file: Blob): Promise<T> {
  const answer = await ask(address, {
    method: 'POST',
    headers: { 'Content-Type': 'application/octet-stream' },
    body: file,
  });
  return (await answer.json()) as T;
}

/** Server-sent events, for example those of a running attack. */
export const listen = (address: string): EventSource => new EventSource(`api/${address}`);

/** Take back, for running attacks. */
export async function remove(address: string): Promise<void> {
  await ask(address, { method: 'DELETE' });
}

export function unpack(base64: string): Float32Array {
  const text = atob(base64);
  const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

export function pack(values: Float32Array): string {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

async function ask(address: string, options: RequestInit): Promise<Response> {
  const answer = await fetch(address ? `api/${address}` : 'api', options);
  if (answer.ok) return answer;
  const body: unknown = await answer.json().catch(() => null);
  if (isMissing(body)) throw new Refused(answer.status, `${body.why} ${body.add}`);
  const said = typeof body === 'object' && body !== null && 'error' in body ? String(body.error) : answer.statusText;
  throw new Refused(answer.status, said);
}

const waiting = new Map<string, (content: Packed) => void>();

/** A data file of an exported copy. They are scripts: browsers fetch nothing from file:// addresses. */
function packedFile(address: string): Promise<Packed> {
  return new Promise((resolve, reject) => {
    window.pixelproof_data = (name, content) => waiting.get(name)?.(content);
    waiting.set(address, resolve);
    const script = document.createElement('script');
    script.src = `api/${address || 'home'}.js`;
    script.onload = () => script.remove();
    script.onerror = () => {
      script.remove();
      reject(new Refused(404, `This copy does not hold ${address}. Use 'pixelproof explore' on the run itself.`));
    };
    document.head.append(script);
  });
}
