/**
 * C++ symbols of the Itanium ABI, printed as c++filt does. Expressions in signatures (`decltype`, `sizeof...`) are not
 * read: such a name stays mangled.
 * Source: itanium-cxx-abi.github.io/cxx-abi/abi.html, 5.1 "External Names".
 */
import { Cursor, NotMangled, unlessNotMangled } from './cursor.ts';
import { BUILTIN_TYPES, LITERAL_SUFFIXES, OPERATORS, SPECIAL_NAMES, STANDARD_NAMES } from './itanium-tables.ts';

/** Undefined if the symbol is none, or one of those that are not read. */
export function demangleItanium(symbol: string): { readonly name: string; readonly full: string } | undefined {
  if (!symbol.startsWith('_Z')) return undefined;
  return unlessNotMangled(() => {
    const reader = new Reader(symbol);
    const { name, full } = reader.encoding();
    if (!reader.isAtEnd) throw new NotMangled();
    return { name, full };
  });
}

/** A type around a name that is not there: `int (*` and `)(char)`. */
interface Type {
  readonly left: string;
  readonly right: string;
  /** What a pointer to it must put in parentheses. */
  readonly kind: 'plain' | 'function' | 'array';
  /** What a template parameter pack stands for. */
  readonly pack?: readonly Type[];
}

interface Encoding {
  readonly name: string;
  readonly full: string;
  /** Without the return type. */
  readonly signature: string;
}

/** A name, and what decides how its encoding goes on. */
interface Name {
  readonly text: string;
  /** Ends in template arguments: its encoding begins with the return type. */
  readonly isTemplate: boolean;
  /** A constructor, destructor or conversion has no return type. */
  readonly returns: boolean;
  /** ` const` and the like, of a member function. */
  readonly qualifiers: string;
}

/** One name can be referred to often, and so can what it refers to. */
const LONGEST_NAME = 16_384;

class Reader {
  readonly #cursor: Cursor;
  readonly #substitutions: Type[] = [];
  #templateArgs: readonly Type[] = [];
  /** Inside a lambda's signature template parameters are its own. */
  #inLambda = false;

  constructor(symbol: string) {
    this.#cursor = new Cursor(symbol, 2);
  }

  get isAtEnd(): boolean {
    return this.#cursor.isAtEnd;
  }

  /** A function with its signature, data by its name alone, or something the compiler made. */
  encoding(): Encoding {
    return this.#cursor.nested(() => this.#encoding());
  }

  #encoding(): Encoding {
    const cursor = this.#cursor;
    if (/^(?:T|G[VT])/.test(cursor.peek(2))) {
      const special = this.#specialName();
      return { name: special, full: special, signature: special };
    }
    const name = this.#name();
    if (cursor.isAtEnd || cursor.peek() === 'E') {
      const text = name.text + name.qualifiers;
      return { name: name.text, full: text, signature: text };
    }
    const result = name.isTemplate && name.returns ? this.#type() : undefined;
    const parameters = `(${this.#parameters()})`;
    const signature = `${name.text}${parameters}${name.qualifiers}`;
    const full = result === undefined ? signature : declare(result, signature);
    return { name: name.text, full, signature };
  }

  #specialName(): string {
    const cursor = this.#cursor;
    const tag = cursor.characters(2);
    const title = SPECIAL_NAMES[tag];
    if (title !== undefined) return `${title}${tag[0] === 'G' ? this.#name().text : print(this.#type())}`;
    if (tag === 'Th' || tag === 'Tv' || tag === 'Tc') {
      for (let n = tag === 'Tc' ? 2 : 1; n > 0; n--) this.#callOffset(tag === 'Tc' ? cursor.take() : tag[1]!);
      const kind = { Th: 'non-virtual', Tv: 'virtual', Tc: 'covariant return' }[tag];
      return `${kind} thunk to ${this.encoding().full}`;
    }
    if (tag === 'GT') return `${cursor.take() === 'n' ? 'non-' : ''}transaction clone for ${this.encoding().full}`;
    if (tag === 'TW' || tag === 'TH') {
      return `${tag === 'TW' ? 'TLS wrapper' : 'TLS init'} function for ${this.#name().text}`;
    }
    throw new NotMangled();
  }

  #callOffset(kind: string): void {
    const offset = kind === 'h' ? /n?\d+_/y : /n?\d+_n?\d+_/y;
    if (this.#cursor.match(offset) === undefined) throw new NotMangled();
  }

  // --- names ------------------------------------------------------------------------------------------------------

  #name(): Name {
    const cursor = this.#cursor;
    if (cursor.eat('N')) return this.#nestedName();
    if (cursor.eat('Z')) return this.#localName();
    let text: string;
    if (cursor.peek() === 'S' && cursor.peek(2) !== 'St') {
      text = print(this.#substitution());
    } else {
      text = `${cursor.eat('St') ? 'std::' : ''}${this.#unqualifiedName('').text}`;
      if (cursor.peek() === 'I') this.#remember(plain(text));
    }
    if (cursor.peek() !== 'I') return { text, isTemplate: false, returns: true, qualifiers: '' };
    return { text: this.#withArguments(text), isTemplate: true, returns: true, qualifiers: '' };
  }

  #nestedName(): Name {
    const cursor = this.#cursor;
    const qualifiers = this.#qualifiers() + (cursor.eat('R') ? ' &' : cursor.eat('O') ? ' &&' : '');
    let text = '';
    let isTemplate = false;
    let returns = true;
    while (!cursor.eat('E')) {
      const next = cursor.peek();
      if (next === 'I') {
        text = this.#withArguments(text);
        isTemplate = true;
      } else if (next === 'S' && cursor.peek(2) !== 'St') {
        text = print(this.#substitution());
        continue;
      } else if (next === 'T') {
        text = print(this.#templateParameter());
        isTemplate = false;
        continue;
      } else if (cursor.eat('St')) {
        text = 'std';
        continue;
      } else {
        const part = this.#unqualifiedName(text);
        text = text === '' ? part.text : `${text}::${part.text}`;
        returns = part.returns;
        isTemplate = false;
      }
      if (text.length > LONGEST_NAME) throw new NotMangled();
      if (cursor.peek() !== 'E') this.#remember(plain(text));
    }
    if (text === '') throw new NotMangled();
    return { text, isTemplate, returns, qualifiers };
  }

  /** Something inside a function. */
  #localName(): Name {
    const cursor = this.#cursor;
    const outerArgs = this.#templateArgs;
    const around = this.encoding().signature;
    cursor.expect('E');
    if (cursor.eat('s')) {
      cursor.match(/_\d|__\d+_/y);
      return { text: `${around}::string literal`, isTemplate: false, returns: true, qualifiers: '' };
    }
    if (cursor.eat('d')) {
      cursor.match(/\d*_/y);
    }
    const name = this.#name();
    cursor.match(/__\d+_|_\d/y);
    if (!name.isTemplate) this.#templateArgs = outerArgs.length > 0 ? outerArgs : this.#templateArgs;
    return { ...name, text: `${around}::${name.text}` };
  }

  /** @param scope what the name stands in: constructors are called as it is */
  #unqualifiedName(scope: string): { readonly text: string; readonly returns: boolean } {
    const cursor = this.#cursor;
    cursor.eat('L');
    const part = this.#simpleName(scope);
    let { text } = part;
    while (cursor.eat('B')) text += `[abi:${cursor.characters(cursor.number())}]`;
    return { ...part, text };
  }

  #simpleName(scope: string): { readonly text: string; readonly returns: boolean } {
    const cursor = this.#cursor;
    const next = cursor.peek();
    if (/\d/.test(next)) return { text: this.#sourceName(), returns: true };
    if (next === 'C' || (next === 'D' && /D[0-5]/.test(cursor.peek(2)))) {
      cursor.take();
      if (!/[1-5]/.test(cursor.take()) && next === 'C') throw new NotMangled();
      return { text: `${next === 'D' ? '~' : ''}${lastPart(scope)}`, returns: false };
    }
    if (cursor.eat('Ul')) return { text: this.#lambda(), returns: true };
    if (cursor.eat('Ut')) return { text: `{unnamed type#${this.#index()}}`, returns: true };
    if (cursor.eat('cv')) return { text: `operator ${print(this.#type())}`, returns: false };
    if (cursor.eat('li')) return { text: `operator"" ${this.#sourceName()}`, returns: true };
    const operator = OPERATORS[cursor.characters(2)];
    if (operator === undefined) throw new NotMangled();
    return { text: `operator${operator}`, returns: true };
  }

  #lambda(): string {
    const wasInLambda = this.#inLambda;
    this.#inLambda = true;
    const parameters = this.#parameters();
    this.#inLambda = wasInLambda;
    this.#cursor.expect('E');
    return `{lambda(${parameters})#${this.#index()}}`;
  }

  /** `_` is the first, `0_` the second. */
  #index(): number {
    const digits = this.#cursor.match(/\d*_/y);
    if (digits === undefined) throw new NotMangled();
    return digits === '_' ? 1 : Number(digits.slice(0, -1)) + 2;
  }

  #sourceName(): string {
    const name = this.#cursor.characters(this.#cursor.number());
    return /^_GLOBAL_[_.$]N/.test(name) ? '(anonymous namespace)' : name;
  }

  // --- types ------------------------------------------------------------------------------------------------------

  /** Up to the end of the list; `void` alone is none. */
  #parameters(): string {
    const types: string[] = [];
    const isLast = () => this.isAtEnd || /[E.]/.test(this.#cursor.peek()) || /^[RO]E/.test(this.#cursor.peek(2));
    while (!isLast()) types.push(...printAll(this.#type()));
    return types.length === 1 && types[0] === 'void' ? '' : types.join(', ');
  }

  #type(): Type {
    // Template arguments of a type are not those of the function.
    const outer = this.#templateArgs;
    const type = this.#cursor.nested(() => this.#typeBy(this.#cursor.peek()));
    this.#templateArgs = outer;
    if (type.left.length + type.right.length > LONGEST_NAME) throw new NotMangled();
    return type;
  }

  #typeBy(next: string): Type {
    const cursor = this.#cursor;
    const builtin = BUILTIN_TYPES[next];
    if (builtin !== undefined) {
      cursor.take();
      return plain(builtin);
    }
    const wide = next === 'D' ? BUILTIN_TYPES[cursor.peek(2)] : undefined;
    if (wide !== undefined) {
      cursor.characters(2);
      return plain(wide);
    }
    switch (next) {
      case 'P':
        return this.#modified((type) => pointer(type, '*'));
      case 'R':
        return this.#modified((type) => reference(type, '&'));
      case 'O':
        return this.#modified((type) => reference(type, '&&'));
      case 'r':
      case 'V':
      case 'K': {
        const qualifiers = this.#qualifiers();
        return this.#remember(each(this.#type(), (type) => qualified(type, qualifiers)));
      }
      case 'A':
        return this.#remember(this.#array());
      case 'M':
        return this.#remember(this.#memberPointer());
      case 'F':
        return this.#remember(this.#function(''));
      case 'u':
        cursor.take();
        return this.#remember(plain(this.#sourceName()));
      case 'D':
        return this.#extended();
      case 'T':
        return this.#maybeTemplate(this.#templateParameter());
      case 'S':
        if (cursor.peek(2) !== 'St') return this.#maybeTemplate(this.#substitution());
        break;
    }
    const { text } = this.#name();
    return this.#remember(plain(text));
  }

  #modified(modify: (type: Type) => Type): Type {
    this.#cursor.take();
    return this.#remember(each(this.#type(), modify));
  }

  /** `Dp` expands a pack, `Do` is a function that does not throw. */
  #extended(): Type {
    const tag = this.#cursor.characters(2);
    if (tag === 'Dp') return this.#remember(this.#type());
    if (tag === 'Do') return this.#remember(this.#function(' noexcept'));
    throw new NotMangled();
  }

  #function(suffix: string): Type {
    const cursor = this.#cursor;
    cursor.expect('F');
    cursor.eat('Y');
    const result = this.#type();
    const parameters = this.#parameters();
    const reference = cursor.eat('R') ? ' &' : cursor.eat('O') ? ' &&' : '';
    cursor.expect('E');
    return { left: result.left, right: `(${parameters})${reference}${suffix}${result.right}`, kind: 'function' };
  }

  #array(): Type {
    const cursor = this.#cursor;
    cursor.expect('A');
    const size = cursor.match(/\d*/y) ?? '';
    cursor.expect('_');
    const element = this.#type();
    const right = element.kind === 'array' ? element.right.trimStart() : element.right;
    return { left: element.left, right: ` [${size}]${right}`, kind: 'array' };
  }

  #memberPointer(): Type {
    this.#cursor.expect('M');
    const owner = print(this.#type());
    const member = this.#type();
    if (member.kind === 'plain') return { ...member, left: `${member.left} ${owner}::*` };
    return { left: `${member.left} (${owner}::*`, right: `)${member.right}`, kind: 'plain' };
  }

  /** In the order c++filt prints them. */
  #qualifiers(): string {
    const letters = this.#cursor.match(/r?V?K?/y) ?? '';
    return [...letters]
      .reverse()
      .map((letter) => ({ r: ' restrict', V: ' volatile', K: ' const' })[letter])
      .join('');
  }

  /** What stood there may be a template, whose arguments follow. */
  #maybeTemplate(type: Type): Type {
    if (this.#cursor.peek() !== 'I') return type;
    return this.#remember(plain(this.#withArguments(print(type))));
  }

  // --- templates --------------------------------------------------------------------------------------------------

  /** A space keeps `operator<` from its arguments. */
  #withArguments(name: string): string {
    const cursor = this.#cursor;
    cursor.expect('I');
    const outer = this.#templateArgs;
    const args: Type[] = [];
    while (!cursor.eat('E')) args.push(this.#templateArgument());
    // Those of the last name are what the signature refers to.
    this.#templateArgs = this.#inLambda ? outer : args;
    const list = args.flatMap(printAll).join(', ');
    return `${name}${name.endsWith('<') ? ' ' : ''}<${list}${list.endsWith('>') ? ' ' : ''}>`;
  }

  #templateArgument(): Type {
    const cursor = this.#cursor;
    if (cursor.eat('J')) {
      const pack: Type[] = [];
      while (!cursor.eat('E')) pack.push(this.#templateArgument());
      return { ...plain(''), pack };
    }
    if (cursor.eat('L')) return plain(this.#literal());
    if (cursor.eat('XadL_Z')) {
      const { name } = this.encoding();
      cursor.expect('EE');
      return plain(`&${name}`);
    }
    return this.#type();
  }

  #literal(): string {
    const cursor = this.#cursor;
    if (cursor.eat('_Z')) {
      const { name } = this.encoding();
      cursor.expect('E');
      return name;
    }
    const letter = cursor.peek();
    const type = print(this.#type());
    const value = cursor.match(/n?\d*/y) ?? '';
    cursor.expect('E');
    const number = value.replace('n', '-');
    if (letter === 'b') return number === '0' ? 'false' : 'true';
    if (type === 'decltype(nullptr)') return `(${type})0`;
    const suffix = LITERAL_SUFFIXES[letter];
    return suffix === undefined ? `(${type})${number}` : `${number}${suffix}`;
  }

  #templateParameter(): Type {
    this.#cursor.expect('T');
    const index = this.#index() - 1;
    if (this.#inLambda) return this.#remember(plain(`auto:${index + 1}`));
    const argument = this.#templateArgs[index];
    if (argument === undefined) throw new NotMangled();
    return this.#remember(argument);
  }

  // --- substitutions ----------------------------------------------------------------------------------------------

  #remember(type: Type): Type {
    this.#substitutions.push(type);
    return type;
  }

  #substitution(): Type {
    const cursor = this.#cursor;
    cursor.expect('S');
    const standard = STANDARD_NAMES[cursor.peek()];
    if (standard !== undefined) {
      cursor.take();
      return plain(standard);
    }
    const digits = cursor.match(/[0-9A-Z]*_/y);
    if (digits === undefined) throw new NotMangled();
    const index = digits === '_' ? 0 : Number.parseInt(digits.slice(0, -1), 36) + 1;
    const known = this.#substitutions[index];
    if (known === undefined) throw new NotMangled();
    return known;
  }
}

function plain(left: string): Type {
  return { left, right: '', kind: 'plain' };
}

/** A pack is changed element by element. */
function each(type: Type, change: (type: Type) => Type): Type {
  return type.pack === undefined ? change(type) : { ...type, pack: type.pack.map((inner) => each(inner, change)) };
}

function pointer(type: Type, sign: string): Type {
  if (type.kind === 'plain') return { ...type, left: `${type.left}${sign}` };
  return { left: `${type.left} (${sign}`, right: `)${type.right}`, kind: 'plain' };
}

/** A reference to a reference is one: `&&` only if both are. */
function reference(type: Type, sign: string): Type {
  if (type.kind === 'plain' && type.left.endsWith('&')) {
    return sign === '&' && type.left.endsWith('&&') ? { ...type, left: type.left.slice(0, -1) } : type;
  }
  return pointer(type, sign);
}

function qualified(type: Type, qualifiers: string): Type {
  if (type.kind === 'function') return { ...type, right: `${type.right}${qualifiers}` };
  return { ...type, left: `${type.left}${qualifiers}` };
}

function print(type: Type): string {
  if (type.pack !== undefined) return printAll(type).join(', ');
  return type.kind === 'function' ? `${type.left} ${type.right}` : `${type.left}${type.right}`;
}

function printAll(type: Type): string[] {
  return type.pack === undefined ? [print(type)] : type.pack.flatMap(printAll);
}

/** A function's signature behind what it returns. */
function declare(result: Type, signature: string): string {
  return `${result.left}${result.right === '' || result.left.endsWith('(') ? ' ' : ''}${signature}${result.right}`;
}

/** Of `a::b<c::d>` that is `b`. */
function lastPart(whole: string): string {
  const scope = whole.replace(/\[abi:\w+\]$/, '');
  let depth = 0;
  let end = scope.length;
  for (let at = scope.length - 1; at >= 0; at--) {
    const letter = scope[at]!;
    if (letter === '>') depth++;
    else if (letter === '<') depth--;
    else if (letter === ':' && depth === 0) return scope.slice(at + 1, end);
    if (letter === '<' && depth === 0) end = at;
  }
  return scope.slice(0, end);
}
