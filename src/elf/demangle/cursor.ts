/** Reading a mangled name from left to right. */

/** Thrown inside a demangler and caught at its entrance: the name is not one we understand. */
export class NotMangled extends Error {}

/** Types nest, and a hostile file can nest them deeper than the stack. */
const DEEPEST = 200;

export class Cursor {
  readonly text: string;
  at: number;
  #depth = 0;

  constructor(text: string, at: number) {
    this.text = text;
    this.at = at;
  }

  get isAtEnd(): boolean {
    return this.at >= this.text.length;
  }

  /** The next `count` characters, not taken. */
  peek(count = 1): string {
    return this.text.slice(this.at, this.at + count);
  }

  /** Takes `wanted` if it comes next. */
  eat(wanted: string): boolean {
    if (!this.text.startsWith(wanted, this.at)) return false;
    this.at += wanted.length;
    return true;
  }

  /** @throws NotMangled unless `wanted` comes next */
  expect(wanted: string): void {
    if (!this.eat(wanted)) throw new NotMangled();
  }

  /** Takes one character. @throws NotMangled at the end */
  take(): string {
    if (this.isAtEnd) throw new NotMangled();
    return this.text[this.at++]!;
  }

  /** Takes what a sticky expression matches, or nothing. */
  match(expression: RegExp): string | undefined {
    expression.lastIndex = this.at;
    const found = expression.exec(this.text)?.[0];
    this.at += found?.length ?? 0;
    return found;
  }

  /** A decimal number. @throws NotMangled */
  number(): number {
    const digits = this.match(/\d+/y);
    if (digits === undefined || digits.length > 9) throw new NotMangled();
    return Number(digits);
  }

  /** The next `length` characters. @throws NotMangled if there are fewer */
  characters(length: number): string {
    const text = this.peek(length);
    if (text.length < length) throw new NotMangled();
    this.at += length;
    return text;
  }

  /** @throws NotMangled if called within itself too often */
  nested<T>(body: () => T): T {
    if (++this.#depth > DEEPEST) throw new NotMangled();
    const result = body();
    this.#depth--;
    return result;
  }
}

/** What `body` gives, or undefined if it finds that the name is no mangled one. */
export function unlessNotMangled<T>(body: () => T): T | undefined {
  try {
    return body();
  } catch (error) {
    if (error instanceof NotMangled) return undefined;
    throw error;
  }
}
