/**
 * Rust symbols: the legacy form, which looks like C++ and ends in a hash, and v0.
 * Source: rustc-demangle; RFC 2603 (v0), doc.rust-lang.org/rustc/symbol-mangling/v0.html.
 */
import { Cursor, NotMangled, unlessNotMangled } from './cursor.ts';

const HASH = /^h[0-9a-f]{16}$/;
const ESCAPES: Readonly<Record<string, string>> = {
  SP: '@',
  BP: '*',
  RF: '&',
  LT: '<',
  GT: '>',
  LP: '(',
  RP: ')',
  C: ',',
};

/** `_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE`; the hash is left out. */
export function demangleRustLegacy(symbol: string): string | undefined {
  if (!symbol.startsWith('_ZN')) return undefined;
  return unlessNotMangled(() => {
    const cursor = new Cursor(symbol, 3);
    const parts: string[] = [];
    while (!cursor.eat('E')) parts.push(cursor.characters(cursor.number()));
    if (!cursor.isAtEnd || parts.length < 2 || !HASH.test(parts.pop()!)) throw new NotMangled();
    return parts.map(unescapeLegacy).join('::');
  });
}

function unescapeLegacy(part: string): string {
  return part
    .replace(/^_(?=\$)/, '')
    .replace(/\$(?:u([0-9a-f]{1,6})|([A-Z]{1,2}))\$/g, (all, code, name) =>
      code === undefined ? (ESCAPES[name] ?? all) : String.fromCodePoint(Math.min(Number.parseInt(code, 16), 0x10ffff)),
    )
    .replaceAll('..', '::');
}

/** `_RNvCs1234_7mycrate3foo`; hashes of crates are left out. */
export function demangleRustV0(symbol: string): string | undefined {
  if (!symbol.startsWith('_R')) return undefined;
  return unlessNotMangled(() => new V0(symbol).symbol());
}

const BASIC_TYPES: Readonly<Record<string, string>> = {
  a: 'i8',
  b: 'bool',
  c: 'char',
  d: 'f64',
  e: 'str',
  f: 'f32',
  h: 'u8',
  i: 'isize',
  j: 'usize',
  l: 'i32',
  m: 'u32',
  n: 'i128',
  o: 'u128',
  p: '_',
  s: 'i16',
  t: 'u16',
  u: '()',
  v: '...',
  x: 'i64',
  y: 'u64',
  z: '!',
};

/** Backreferences can make a short symbol a very long name. */
const LONGEST_NAME = 16_384;

class V0 {
  readonly #cursor: Cursor;
  /** Lifetimes that enclosing `for<...>` bind. */
  #bound = 0;
  #printed = 0;

  constructor(symbol: string) {
    this.#cursor = new Cursor(symbol, 2);
  }

  symbol(): string {
    if (/\d/.test(this.#cursor.peek())) throw new NotMangled(); // a later version of the form
    const name = this.#path('value');
    if (!this.#cursor.isAtEnd) this.#path('value'); // the crate that made this copy
    if (!this.#cursor.isAtEnd) throw new NotMangled();
    return name;
  }

  #path(where: 'value' | 'type'): string {
    return this.#cursor.nested(() => this.#pathOf(this.#cursor.take(), where));
  }

  #pathOf(tag: string, where: 'value' | 'type'): string {
    const cursor = this.#cursor;
    switch (tag) {
      case 'C': {
        this.#disambiguator();
        return this.#identifier();
      }
      case 'N': {
        const namespace = cursor.take();
        const parent = this.#path(where);
        const number = this.#disambiguator();
        const name = this.#identifier();
        if (/[a-z]/.test(namespace)) return name === '' ? parent : `${parent}::${name}`;
        const kind = { C: 'closure', S: 'shim' }[namespace] ?? namespace;
        return `${parent}::{${kind}${name === '' ? '' : `:${name}`}#${number}}`;
      }
      case 'M':
        this.#implPath();
        return `<${this.#type()}>`;
      case 'X':
        this.#implPath();
        return `<${this.#type()} as ${this.#path('type')}>`;
      case 'Y':
        return `<${this.#type()} as ${this.#path('type')}>`;
      case 'I': {
        const path = this.#path(where);
        return `${path}${where === 'value' ? '::' : ''}<${this.#list(() => this.#genericArg())}>`;
      }
      case 'B':
        return this.#backReference(() => this.#path(where));
      default:
        throw new NotMangled();
    }
  }

  #implPath(): void {
    this.#disambiguator();
    this.#path('type');
  }

  #genericArg(): string {
    if (this.#cursor.eat('L')) return this.#lifetime(this.#base62());
    return this.#cursor.eat('K') ? this.#constant() : this.#type();
  }

  #type(): string {
    return this.#cursor.nested(() => this.#typeOf(this.#cursor.take()));
  }

  #typeOf(tag: string): string {
    const basic = BASIC_TYPES[tag];
    if (basic !== undefined) return basic;
    switch (tag) {
      case 'A': {
        const element = this.#type();
        return `[${element}; ${this.#constant()}]`;
      }
      case 'S':
        return `[${this.#type()}]`;
      case 'T': {
        const types = this.#items(() => this.#type());
        return types.length === 1 ? `(${types[0]},)` : `(${types.join(', ')})`;
      }
      case 'R':
        return `&${this.#reference()}${this.#type()}`;
      case 'Q':
        return `&${this.#reference()}mut ${this.#type()}`;
      case 'P':
        return `*const ${this.#type()}`;
      case 'O':
        return `*mut ${this.#type()}`;
      case 'F':
        return this.#binder(() => this.#functionType());
      case 'D':
        return this.#dynamic();
      case 'B':
        return this.#backReference(() => this.#type());
      default:
        return this.#pathOf(tag, 'type');
    }
  }

  #reference(): string {
    if (!this.#cursor.eat('L')) return '';
    const lifetime = this.#lifetime(this.#base62());
    return lifetime === "'_" ? '' : `${lifetime} `;
  }

  #functionType(): string {
    const isUnsafe = this.#cursor.eat('U');
    const abi = this.#cursor.eat('K')
      ? this.#cursor.eat('C')
        ? 'C'
        : this.#identifier().replaceAll('_', '-')
      : undefined;
    const params = this.#list(() => this.#type());
    const result = this.#type();
    const front = `${isUnsafe ? 'unsafe ' : ''}${abi === undefined ? '' : `extern "${abi}" `}`;
    return `${front}fn(${params})${result === '()' ? '' : ` -> ${result}`}`;
  }

  #dynamic(): string {
    const traits = this.#binder(() => this.#items(() => this.#trait()).join(' + '));
    this.#cursor.expect('L');
    const lifetime = this.#lifetime(this.#base62());
    return `dyn ${traits}${lifetime === "'_" ? '' : ` + ${lifetime}`}`;
  }

  #trait(): string {
    let path = this.#path('type');
    while (this.#cursor.eat('p')) {
      const binding = `${this.#identifier()} = ${this.#type()}`;
      path = path.endsWith('>') ? `${path.slice(0, -1)}, ${binding}>` : `${path}<${binding}>`;
    }
    return path;
  }

  #binder(body: () => string): string {
    const count = this.#cursor.eat('G') ? this.#base62() + 1 : 0;
    if (count > 64) throw new NotMangled();
    const outer = this.#bound;
    this.#bound += count;
    const names = Array.from({ length: count }, (_, n) => this.#lifetime(count - n));
    const text = body();
    this.#bound = outer;
    return count === 0 ? text : `for<${names.join(', ')}> ${text}`;
  }

  #lifetime(index: number): string {
    if (index === 0) return "'_";
    const depth = this.#bound - index;
    if (depth < 0) throw new NotMangled();
    return depth < 26 ? `'${String.fromCharCode(97 + depth)}` : `'_${depth}`;
  }

  #constant(): string {
    const cursor = this.#cursor;
    if (cursor.eat('B')) return this.#backReference(() => this.#constant());
    const type = cursor.take();
    if (type === 'p') return '_';
    const digits = cursor.match(/n?[0-9a-f]*_/y)?.slice(0, -1);
    if (digits === undefined) throw new NotMangled();
    const isNegative = digits.startsWith('n');
    const value = BigInt(`0x0${digits.slice(isNegative ? 1 : 0)}`);
    if (type === 'b') return value === 0n ? 'false' : 'true';
    if (type === 'c') return value > 0x10ffffn ? '_' : `'${String.fromCodePoint(Number(value))}'`;
    if (!/[ahijlmnostxy]/.test(type)) throw new NotMangled();
    return `${isNegative ? '-' : ''}${value}`;
  }

  #identifier(): string {
    const cursor = this.#cursor;
    const isUnicode = cursor.eat('u');
    const length = cursor.number();
    cursor.eat('_');
    const text = cursor.characters(length);
    return isUnicode ? decodePunycode(text) : text;
  }

  #backReference(read: () => string): string {
    const cursor = this.#cursor;
    const from = cursor.at - 1;
    const place = this.#base62() + 2;
    if (place >= from) throw new NotMangled();
    const after = cursor.at;
    cursor.at = place;
    const text = cursor.nested(read);
    cursor.at = after;
    this.#printed += text.length;
    if (this.#printed > LONGEST_NAME) throw new NotMangled();
    return text;
  }

  #disambiguator(): number {
    return this.#cursor.eat('s') ? this.#base62() + 1 : 0;
  }

  /** Ends in `_`, which alone is 0. */
  #base62(): number {
    const digits = this.#cursor.match(/[0-9a-zA-Z]*_/y)?.slice(0, -1);
    if (digits === undefined) throw new NotMangled();
    if (digits === '') return 0;
    let value = 0;
    for (const digit of digits) value = value * 62 + BASE_62.indexOf(digit);
    return value + 1;
  }

  #items(read: () => string): string[] {
    const items: string[] = [];
    while (!this.#cursor.eat('E')) items.push(read());
    return items;
  }

  #list(read: () => string): string {
    return this.#items(read).join(', ');
  }
}

const BASE_62 = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';

/** RFC 3492, with `_` in place of the hyphen. */
function decodePunycode(text: string): string {
  const end = text.lastIndexOf('_');
  const output = Array.from(text.slice(0, Math.max(end, 0)));
  const digits = text.slice(end + 1);
  let [code, index, bias] = [128, 0, 72];
  for (let at = 0; at < digits.length; ) {
    const start = index;
    for (let weight = 1, k = 36; ; k += 36) {
      const digit = 'abcdefghijklmnopqrstuvwxyz0123456789'.indexOf(digits[at++] ?? '!');
      if (digit < 0) throw new NotMangled();
      index += digit * weight;
      const threshold = Math.min(Math.max(k - bias, 1), 26);
      if (digit < threshold) break;
      weight *= 36 - threshold;
    }
    const length = output.length + 1;
    let delta = Math.floor((index - start) / (start === 0 ? 700 : 2));
    delta += Math.floor(delta / length);
    for (bias = 0; delta > 455; bias += 36) delta = Math.floor(delta / 35);
    bias += Math.floor((36 * delta) / (delta + 38));
    code += Math.floor(index / length);
    index %= length;
    if (code > 0x10ffff) throw new NotMangled();
    output.splice(index++, 0, String.fromCodePoint(code));
  }
  return output.join('');
}
