/** Text for people: harmless on a terminal, aligned in columns. */
import picocolors from 'picocolors';

/** The few colours the commands use; each returns its text as it is where colour is not wanted. */
export type Palette = Pick<ReturnType<typeof picocolors.createColors>, 'bold' | 'cyan' | 'dim' | 'green' | 'red'>;

/** What decides about colour: `--no-color` makes `color` false. */
export interface PaletteOptions {
  readonly color: boolean;
}

/** Colours for `stream`: only on a terminal, and neither NO_COLOR nor --no-color forbids them. */
export function paletteFor(stream: { readonly isTTY?: boolean | undefined }, { color }: PaletteOptions): Palette {
  return picocolors.createColors(color && stream.isTTY === true && !process.env.NO_COLOR);
}

/** C0 and C1 controls and DEL; the marks that reorder what follows; unpaired surrogates. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** Makes text from a target or an object file safe to print: what could steer a terminal becomes `\x1b` and the like. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** A column's heading and on which side its cells line up. */
export interface Column {
  readonly title: string;
  readonly align: 'left' | 'right';
}

/** Lines of aligned cells under their titles, two blanks between columns and none at the ends. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const lines = [columns.map(({ title }) => title), ...rows];
  const widths = columns.map((_, at) => lines.reduce((width, cells) => Math.max(width, cells[at]!.length), 0));
  return lines.map((cells) =>
    cells
      .map((cell, at) => (columns[at]!.align === 'left' ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!)))
      .join('  ')
      .trimEnd(),
  );
}

/** `1 program`, `2 programs`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
