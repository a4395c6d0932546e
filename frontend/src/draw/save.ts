/** Exports: a figure as SVG or PNG with its colours written in, and rows as CSV. */

export type Row = Readonly<Record<string, string | number | boolean | null | undefined>>;

const LOOKS = [
  'fill',
  'stroke',
  'stroke-width',
  'stroke-dasharray',
  'stroke-opacity',
  'fill-opacity',
  'opacity',
  'font-size',
  'font-family',
  'font-weight',
  'text-anchor',
  'dominant-baseline',
];

export function csv(rows: readonly Row[]): string {
  const keys = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cell = (value: unknown): string => {
    const said = value === null || value === undefined ? '' : String(value);
    const text =
      typeof value === 'string' && /^[=+\-@\t\r]/.test(said) && !/^[-+.\deE\s]+$/.test(said) ? `'${said}` : said; // else a formula
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return (
    [keys.map(cell).join(','), ...rows.map((row) => keys.map((key) => cell(row[key])).join(','))].join('\r\n') + '\r\n'
  );
}

export function hand(content: Blob | string, name: string, type = 'text/csv;charset=utf-8'): void {
  const blob = typeof content === 'string' ? new Blob([content], { type }) : content;
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** A figure that looks the same outside this page. */
export function standalone(figure: SVGSVGElement): string {
  const copy = figure.cloneNode(true) as SVGSVGElement;
  const originals = [figure, ...figure.querySelectorAll('*')];
  const copies = [copy, ...copy.querySelectorAll('*')];
  originals.forEach((element, i) => {
    const looks = getComputedStyle(element);
    for (const look of LOOKS) {
      const value = looks.getPropertyValue(look);
      if (value) copies[i]?.setAttribute(look, value);
    }
    copies[i]?.removeAttribute('class');
    copies[i]?.removeAttribute('style');
  });
  const { width, height } = figure.getBoundingClientRect();
  copy.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  copy.setAttribute('width', String(width));
  copy.setAttribute('height', String(height));
  if (!copy.hasAttribute('viewBox')) copy.setAttribute('viewBox', `0 0 ${width} ${height}`);
  const ground = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
  ground.setAttribute('width', '100%');
  ground.setAttribute('height', '100%');
  ground.setAttribute('fill', getComputedStyle(document.body).backgroundColor);
  copy.prepend(ground);
  return new XMLSerializer().serializeToString(copy);
}

export function saveSvg(figure: SVGSVGElement, name: string): void {
  hand(standalone(figure), `${name}.svg`, 'image/svg+xml');
}

export async function savePng(figure: SVGSVGElement | HTMLCanvasElement, name: string, scale = 2): Promise<void> {
  const canvas = document.createElement('canvas');
  if (figure instanceof HTMLCanvasElement) {
    const size = Math.max(1, Math.round(512 / Math.max(figure.width, figure.height)));
    canvas.width = figure.width * size;
    canvas.height = figure.height * size;
    const pen = canvas.getContext('2d');
    if (pen) {
      pen.imageSmoothingEnabled = false;
      pen.drawImage(figure, 0, 0, canvas.width, canvas.height);
    }
  } else {
    const { width, height } = figure.getBoundingClientRect();
    const address = URL.createObjectURL(new Blob([standalone(figure)], { type: 'image/svg+xml' }));
    const picture = new Image();
    picture.src = address;
    await picture.decode();
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    canvas.getContext('2d')?.drawImage(picture, 0, 0, canvas.width, canvas.height);
    URL.revokeObjectURL(address);
  }
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, 'image/png'));
  if (blob) hand(blob, `${name}.png`);
}

export const fileName = (title: string): string =>
  title
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '')
    .slice(0, 60);
