/**
 * Points and arrows on a canvas, by WebGL 2 where there is one, else by the canvas itself.
 *
 * Shaders are plain text for the driver; no code is made at run time, so the page's strict content policy holds
 * (regl, on which regl-scatterplot stands, needs `unsafe-eval`).
 */

import { onScreen, type Plane } from './plane';

export interface Scene {
  /** (n, 2) */
  points: Float32Array;
  /** (n, 4), 0–255 */
  colours: Uint8Array;
  /** Diameters in pixels. */
  sizes: Float32Array;
  /** Order of drawing: pale ones first. */
  order: Uint32Array;
  /** Pairs of points, from and to. */
  arrows: Uint32Array;
}

export interface Painter {
  readonly kind: 'webgl' | 'canvas';
  load(scene: Scene): void;
  draw(plane: Plane, width: number, height: number, density: number): void;
  stop(): void;
}

const POINT = `#version 300 es
in vec2 place; in vec4 colour; in float size;
uniform vec2 centre; uniform vec2 reach; uniform float density;
out vec4 shade; out float wide;
void main() {
  gl_Position = vec4((place - centre) * reach, 0.0, 1.0);
  gl_PointSize = size * density; shade = colour; wide = size * density;
}`;
const DISC = `#version 300 es
precision mediump float;
in vec4 shade; in float wide; uniform bool round; out vec4 pixel;
void main() {
  float inside = 1.0;
  float rim = 1.0;
  // A darker rim keeps pale colours apart from a pale ground.
  if (round) { float far = length(gl_PointCoord - 0.5) * wide; inside = clamp(wide * 0.5 - far, 0.0, 1.0); rim = mix(1.0, 0.72, smoothstep(wide * 0.5 - 2.0, wide * 0.5 - 0.8, far)); }
  pixel = vec4(shade.rgb * rim, 1.0) * shade.a * inside;
}`;

export function painter(canvas: HTMLCanvasElement): Painter | null {
  const gl = canvas.getContext('webgl2', { antialias: true, premultipliedAlpha: true, preserveDrawingBuffer: true });
  return (gl && byGpu(canvas, gl)) ?? byHand(canvas);
}

function compiled(gl: WebGL2RenderingContext): WebGLProgram | null {
  const program = gl.createProgram();
  for (const [kind, text] of [
    [gl.VERTEX_SHADER, POINT],
    [gl.FRAGMENT_SHADER, DISC],
  ] as const) {
    const shader = gl.createShader(kind);
    if (!shader) return null;
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  return gl.getProgramParameter(program, gl.LINK_STATUS) ? program : null;
}

function byGpu(canvas: HTMLCanvasElement, gl: WebGL2RenderingContext): Painter | null {
  const program = compiled(gl);
  if (!program) return null;
  const uniform = (name: string): WebGLUniformLocation | null => gl.getUniformLocation(program, name);
  const [centre, reach, dense, round] = ['centre', 'reach', 'density', 'round'].map(uniform);
  const batches = { dots: batch(gl, program), lines: batch(gl, program) };
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  return {
    kind: 'webgl',
    load(scene) {
      const pick = (list: Uint32Array, alpha: (i: number) => number): [Float32Array, Uint8Array, Float32Array] => {
        const [places, colours, sizes] = [
          new Float32Array(2 * list.length),
          new Uint8Array(4 * list.length),
          new Float32Array(list.length),
        ];
        list.forEach((point, i) => {
          places.set(scene.points.subarray(2 * point, 2 * point + 2), 2 * i);
          colours.set(scene.colours.subarray(4 * point, 4 * point + 4), 4 * i);
          colours[4 * i + 3] = (colours[4 * i + 3] ?? 0) * alpha(i);
          sizes[i] = scene.sizes[point] ?? 4;
        });
        return [places, colours, sizes];
      };
      batches.dots.fill(...pick(scene.order, () => 1));
      // An arrow is pale where it starts and full where it ends.
      const [places, colours, sizes] = pick(scene.arrows, (i) => (i % 2 === 0 ? 0.05 : 0.75));
      for (let i = 0; i < colours.length; i += 8) colours.set(colours.subarray(i + 4, i + 7), i);
      batches.lines.fill(places, colours, sizes);
    },
    draw(plane, width, height, density) {
      canvas.width = Math.round(width * density);
      canvas.height = Math.round(height * density);
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT);
      gl.useProgram(program);
      gl.uniform2f(centre ?? null, plane.x, plane.y);
      gl.uniform2f(reach ?? null, (2 * plane.scale) / width, (2 * plane.scale) / height);
      gl.uniform1f(dense ?? null, density);
      gl.uniform1i(round ?? null, 0);
      batches.lines.draw(gl.LINES);
      gl.uniform1i(round ?? null, 1);
      batches.dots.draw(gl.POINTS);
    },
    stop: () => gl.getExtension('WEBGL_lose_context')?.loseContext(),
  };
}

function batch(
  gl: WebGL2RenderingContext,
  program: WebGLProgram,
): { fill(places: Float32Array, colours: Uint8Array, sizes: Float32Array): void; draw(mode: number): void } {
  const array = gl.createVertexArray();
  const buffers = [gl.createBuffer(), gl.createBuffer(), gl.createBuffer()] as const;
  let n = 0;
  return {
    fill(places, colours, sizes) {
      n = sizes.length;
      gl.bindVertexArray(array);
      const parts = [
        ['place', 2, gl.FLOAT, false, places],
        ['colour', 4, gl.UNSIGNED_BYTE, true, colours],
        ['size', 1, gl.FLOAT, false, sizes],
      ] as const;
      parts.forEach(([name, wide, type, unit, values], i) => {
        gl.bindBuffer(gl.ARRAY_BUFFER, buffers[i] ?? null);
        gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
        const at = gl.getAttribLocation(program, name);
        gl.enableVertexAttribArray(at);
        gl.vertexAttribPointer(at, wide, type, unit, 0, 0);
      });
      gl.bindVertexArray(null);
    },
    draw(mode) {
      if (n === 0) return;
      gl.bindVertexArray(array);
      gl.drawArrays(mode, 0, n);
      gl.bindVertexArray(null);
    },
  };
}

function byHand(canvas: HTMLCanvasElement): Painter | null {
  const pen = canvas.getContext('2d');
  if (!pen) return null;
  let scene: Scene | null = null;
  return {
    kind: 'canvas',
    load: (next) => void (scene = next),
    draw(plane, width, height, density) {
      canvas.width = Math.round(width * density);
      canvas.height = Math.round(height * density);
      if (!scene) return;
      const { points, colours, sizes, order, arrows } = scene;
      pen.setTransform(density, 0, 0, density, 0, 0);
      const place = (i: number): [number, number] =>
        onScreen(plane, width, height, points[2 * i] ?? 0, points[2 * i + 1] ?? 0);
      const shade = (i: number, alpha: number): string =>
        `rgb(${colours[4 * i]} ${colours[4 * i + 1]} ${colours[4 * i + 2]} / ${((colours[4 * i + 3] ?? 0) / 255) * alpha})`;
      for (let i = 0; i < arrows.length; i += 2) {
        pen.beginPath();
        pen.moveTo(...place(arrows[i] ?? 0));
        pen.lineTo(...place(arrows[i + 1] ?? 0));
        pen.strokeStyle = shade(arrows[i + 1] ?? 0, 0.4);
        pen.stroke();
      }
      for (const i of order) {
        const [x, y] = place(i);
        pen.beginPath();
        pen.arc(x, y, (sizes[i] ?? 4) / 2, 0, 2 * Math.PI);
        pen.fillStyle = shade(i, 1);
        pen.fill();
      }
    },
    stop: () => undefined,
  };
}
