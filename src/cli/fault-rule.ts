/**
 * What `remora inject` is asked for, in strace's words: `SET:error=ENOENT:when=3+2`, and for functions
 * `BINARY:FUNCTION:return=0:percent=1`. Source: strace(1), -e inject.
 */
import { AttachError, errorNumber, type Fault, NEVER_RETURN, syscallName, syscallSet } from '../index.ts';
import { CliError } from './errors.ts';

/** A fault at one place, and how it was asked for. */
export interface PlannedFault extends Fault {
  /** The whole rule, as it was given. */
  readonly rule: string;
  /** The number of the system call; undefined for functions. */
  readonly call?: number;
  /** It is one of a set of calls. */
  readonly isOneOfMany: boolean;
}

/** What a rule says beside its place, by name. */
interface Wishes {
  value?: bigint;
  when?: Pick<Fault, 'first' | 'step' | 'last'>;
  percent?: number;
}

const LARGEST_COUNT = 2 ** 31 - 1;

/** Of each option: reads its value into the wishes. */
const OPTIONS: Readonly<Record<string, (value: string, wishes: Wishes, rule: Rule) => void>> = {
  error(text, wishes, rule) {
    if (rule.isFunction) {
      throw rule.error(`'error=' is for system calls: functions fail by what they return`, 'say return=VALUE');
    }
    const number = errorNumber(text);
    if (number === undefined) throw rule.error(`'${text}' is no error, wanted a name such as ENOENT or 1 to 4095`);
    setValue(wishes, BigInt(-number), rule);
  },
  retval: (text, wishes, rule) => setValue(wishes, returnedValue(text, rule), rule),
  return: (text, wishes, rule) => setValue(wishes, returnedValue(text, rule), rule),
  when(text, wishes, rule) {
    wishes.when = whenOf(text, rule);
  },
  percent(text, wishes, rule) {
    const percent = Number(text);
    if (!/^\d+(\.\d+)?$/.test(text) || !(percent > 0 && percent <= 100)) {
      throw rule.error(`'percent=${text}' is no share, wanted more than 0 and at most 100`);
    }
    wishes.percent = percent;
  },
};

/** What strace can do beside this. */
const NOT_YET = ['signal', 'syscall', 'delay_enter', 'delay_exit', 'poke_enter', 'poke_exit'];
const PLACES = 'as in openat:error=ENOENT or libc:malloc:return=0';
const OPTION = new RegExp(`^(?<name>${[...Object.keys(OPTIONS), ...NOT_YET].join('|')})(?:=(?<value>.*))?$`, 's');

/**
 * Reads rules. Of several for one place the last one counts, as with strace.
 *
 * @throws {CliError} CLI_BAD_USAGE, CLI_NOT_YET
 * @throws {AttachError} ATTACH_NO_SYSCALL
 */
export function planFaults(rules: readonly string[]): readonly PlannedFault[] {
  const planned = new Map<string, PlannedFault>();
  for (const fault of rules.flatMap((text) => new Rule(text).faults())) {
    planned.delete(fault.section);
    planned.set(fault.section, fault);
  }
  return [...planned.values()];
}

class Rule {
  readonly #text: string;
  readonly #place: readonly string[];
  readonly #options: readonly string[];

  constructor(text: string) {
    this.#text = text;
    const words = text.split(':');
    const start = words.findIndex((word, n) => n > 0 && (OPTION.test(word) || word.includes('=')));
    const place = start < 0 ? words : words.slice(0, start);
    this.#place = place.length > 1 && place[0] === 'syscall' ? place.slice(1) : place;
    this.#options = start < 0 ? [] : words.slice(start).filter((word) => word !== '');
  }

  get isFunction(): boolean {
    return this.#place.filter((word) => word !== '').length > 1;
  }

  faults(): readonly PlannedFault[] {
    const wishes: Wishes = {};
    for (const option of this.#options) this.#read(option, wishes);
    const { value, when = { first: 1, step: 1 }, percent } = wishes;
    if (value === undefined) {
      const fix = this.isFunction ? 'add :return=VALUE' : 'add :error=ENOENT, or another error, or :retval=VALUE';
      throw this.error('it does not say how the calls are to fail', fix);
    }
    const fault = { rule: this.#text, value, ...when, ...(percent !== undefined && { percent }) };
    const places = this.#places();
    return places.map((place) => ({ ...fault, ...place, isOneOfMany: places.length > 1 }));
  }

  error(what: string, fix?: string): CliError {
    return new CliError('CLI_BAD_USAGE', `cannot inject '${this.#text}': ${what}`, fix === undefined ? {} : { fix });
  }

  #read(option: string, wishes: Wishes): void {
    const { name, value } = OPTION.exec(option)?.groups ?? {};
    if (name === undefined) {
      throw this.error(
        `there is no '${option}', wanted ${Object.keys(OPTIONS)
          .map((one) => `${one}=`)
          .join(', ')}`,
      );
    }
    const read = OPTIONS[name];
    if (read === undefined) {
      throw new CliError('CLI_NOT_YET', `cannot inject '${this.#text}': ${name} is not in this version`, {
        fix: 'calls can be answered by error=, retval= and return=; for the rest there is strace',
      });
    }
    if (value === undefined || value === '') throw this.error(`'${name}=' says nothing`);
    read(value, wishes, this);
  }

  #places(): readonly Pick<PlannedFault, 'section' | 'call'>[] {
    const [first = '', ...rest] = this.#place;
    if (this.isFunction) {
      const [binary, symbol] = first === 'uprobe' && rest.length > 1 ? [rest[0]!, rest.slice(1)] : [first, rest];
      const name = symbol.join(':');
      if (/[*?]/.test(name)) throw this.error('a function is meant by its whole name', 'one rule for each function');
      return [{ section: `uprobe.override/${binary}:${name}` }];
    }
    if (first === '') throw this.error('it does not say what is to fail', PLACES);
    const numbers = callsOf(first);
    const possible = numbers.filter((number) => !NEVER_RETURN.has(number));
    if (possible.length === 0 && numbers.length > 0) {
      throw this.error(`${numbers.map(syscallName).join(', ')} cannot fail: whoever makes it does not go on`);
    }
    return possible.map((call) => ({ section: `tracepoint/syscalls/sys_enter_${syscallName(call)}`, call }));
  }
}

/** @throws {AttachError} ATTACH_NO_SYSCALL, which says how a function is named if it might be one */
function callsOf(set: string): readonly number[] {
  try {
    return syscallSet(set);
  } catch (error) {
    if (!(error instanceof AttachError) || error.fix !== undefined || !/^\w+$/.test(set)) throw error;
    throw new AttachError(error.code, error.message, {
      fix: `if a function is meant, say of what file: libc:${set}:return=VALUE`,
    });
  }
}

/** FIRST, FIRST+, FIRST+STEP, FIRST..LAST, FIRST..LAST+STEP. */
function whenOf(text: string, rule: Rule): NonNullable<Wishes['when']> {
  const { first, last, plus, step } =
    /^(?<first>\d+)(?:\.\.(?<last>\d+))?(?<plus>\+(?<step>\d+)?)?$/.exec(text)?.groups ?? {};
  const from = countOf(first, text, rule);
  const to = last === undefined ? undefined : countOf(last, text, rule);
  if (to !== undefined && to < from) throw rule.error(`'when=${text}' ends before it begins`);
  const by = step === undefined ? (plus === undefined && to === undefined ? 0 : 1) : countOf(step, text, rule);
  return { first: from, step: by, ...(to !== undefined && { last: to }) };
}

function countOf(digits: string | undefined, text: string, rule: Rule): number {
  const count = Number(digits);
  if (count >= 1 && count <= LARGEST_COUNT) return count;
  throw rule.error(
    `'when=${text}' is no FIRST[..LAST][+[STEP]], each at least 1`,
    'calls are counted from 1: when=3+2',
  );
}

/** A number as C writes it. */
function returnedValue(text: string, rule: Rule): bigint {
  const { sign, digits } = /^(?<sign>-?)(?<digits>0x[\da-f]+|0[0-7]*|[1-9]\d*)$/i.exec(text)?.groups ?? {};
  const size = digits === undefined ? 2n ** 64n : BigInt(digits.replace(/^0(?=\d)/, '0o'));
  if (size >= 2n ** 64n || (sign === '-' && size > 2n ** 63n)) throw rule.error(`'${text}' is no number of 64 bits`);
  return sign === '-' ? -size : size;
}

function setValue(wishes: Wishes, value: bigint, rule: Rule): void {
  if (wishes.value !== undefined) throw rule.error('it says twice what the calls give');
  wishes.value = BigInt.asUintN(64, value);
}
