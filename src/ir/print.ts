/**
 * IR as text, for golden files and for people. Values and blocks are numbered as they are printed, so that the text
 * does not depend on what passes made and threw away; constants stand where they are used.
 */
import type { Block, IrFunction, Operation, SiteFact, Value } from './value.ts';

/** One line a value: `v3 = add v1, 8`, `v4 = load4 [v3 + 16]`, `store8 [v3], v4`. */
export function printFunction(fn: IrFunction): string {
  const names = new Names(fn);
  const lines = [`function ${fn.name}(${fn.paramCount})`];
  for (const block of fn.blocks) {
    const from = block.predecessors.map((predecessor) => names.block(predecessor)).join(', ');
    lines.push(`${names.block(block)}:${block.cold ? ' cold' : ''}${from === '' ? '' : ` from ${from}`}`);
    for (const value of block.values) {
      if (value.operation.op !== 'const') lines.push(`  ${printValue(value, names)}`);
    }
    lines.push(`  ${printTerminator(block, names)}`);
  }
  return `${lines.join('\n')}\n`;
}

class Names {
  readonly #values = new Map<Value, string>();
  readonly #blocks = new Map<Block, string>();

  constructor(fn: IrFunction) {
    for (const block of fn.blocks) {
      this.#blocks.set(block, `b${this.#blocks.size}`);
      for (const value of block.values) {
        if (hasResult(value.operation)) this.#values.set(value, `v${this.#values.size}`);
      }
    }
  }

  value(value: Value): string {
    if (value.operation.op === 'const') return printNumber(value.operation.value);
    return this.#values.get(value) ?? `?${value.id}`;
  }

  block(block: Block): string {
    return this.#blocks.get(block) ?? '?';
  }
}

function hasResult(operation: Operation): boolean {
  return !RESULTLESS.has(operation.op) && !(operation.op === 'atomic' && !operation.fetch);
}

const RESULTLESS: ReadonlySet<Operation['op']> = new Set(['const', 'siteStore', 'store', 'increment'] as const);

function printValue(value: Value, names: Names): string {
  const { operation } = value;
  const args = value.args.map((arg) => names.value(arg));
  const text = 'offset' in operation ? printAccess(operation, args) : `${mnemonic(operation)} ${args.join(', ')}`;
  return hasResult(operation) ? `${names.value(value)} = ${text.trimEnd()}` : text;
}

type Access = Extract<Operation, { offset: number }>;

function printAccess(operation: Access, args: readonly string[]): string {
  if (operation.op === 'threadLoad') return `${mnemonic(operation)} [fs${printOffset(operation.offset)}]`;
  const [address = '?', ...rest] = args;
  return [`${mnemonic(operation)} [${address}${printOffset(operation.offset)}]`, ...rest].join(', ');
}

function mnemonic(operation: Operation): string {
  switch (operation.op) {
    case 'param':
      return `param ${operation.index}`;
    case 'site':
      return `site ${printSource(operation.source)}`;
    case 'bounded':
    case 'stack':
      return `${operation.op} ${operation.size}`;
    case 'siteStore':
      return `site register ${operation.register} =`;
    case 'binary':
    case 'unary':
      return operation.operator + widthSuffix(operation.width);
    case 'compare':
      return operation.condition + widthSuffix(operation.width);
    case 'load':
      return `load${operation.size}${operation.signed ? 's' : ''}`;
    case 'store':
    case 'cmpxchg':
    case 'threadLoad':
      return `${operation.op}${operation.size}`;
    case 'atomic':
      return `${operation.fetch ? 'fetch' : 'atomic'}-${operation.operator}${operation.size}`;
    case 'call':
      return `call ${operation.callee.name}`;
    case 'callAddress':
      return `call ${printNumber(operation.address)}`;
    case 'syscall':
      return `syscall ${operation.number}`;
    default:
      return operation.op;
  }
}

/** 64 bits go without saying, except where the name would end in its own number. */
function widthSuffix(width: number): string {
  return width === 64 ? '' : `.${width}`;
}

function printSource(source: SiteFact): string {
  switch (source.in) {
    case 'register':
      return `register ${source.register}`;
    case 'stackPointer':
      return `sp${printOffset(source.offset)}`;
    case 'constant':
      return printNumber(source.value);
    case 'copy':
      return 'copy';
  }
}

function printOffset(offset: number): string {
  if (offset === 0) return '';
  return offset < 0 ? ` - ${-offset}` : ` + ${offset}`;
}

/** Small numbers in decimal, small negative ones with their sign, everything else in hexadecimal. */
function printNumber(value: bigint): string {
  const signed = BigInt.asIntN(64, value);
  return signed > -65536n && signed < 65536n ? `${signed}` : `0x${value.toString(16)}`;
}

function printTerminator({ terminator }: Block, names: Names): string {
  switch (terminator?.op) {
    case undefined:
      return '(open)';
    case 'jump':
      return `jump ${names.block(terminator.target)}`;
    case 'branch': {
      const { condition, then, otherwise } = terminator;
      return `branch ${names.value(condition)} ? ${names.block(then)} : ${names.block(otherwise)}`;
    }
    case 'return':
      return `return ${names.value(terminator.value)}`;
  }
}
