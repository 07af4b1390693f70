import { BpfError, type BpfErrorOptions } from '../errors.ts';

/** Why a helper call was refused. The keys are the error codes, the values the line the docs print. */
export const HELPER_ERRORS = {
  HELPER_HAS_KEYS: 'the map has keys, and the helper is for maps that have none',
  HELPER_NO_CONTEXT: 'a helper without a context argument works only where the context is known',
  HELPER_BAD_FORMAT: 'the kernel would not take this format and its arguments',
  HELPER_NOT_CONSTANT: 'a helper needs to know an argument when the program is compiled',
  HELPER_NOT_A_FUNCTION: 'a helper needs to know what function it calls back when the program is compiled',
  HELPER_NOT_A_MAP: 'a helper needs to know its map when the program is compiled',
  HELPER_NOT_ITERABLE: 'programs cannot go through maps of this type',
  HELPER_NO_THREADS: 'the values of the map belong to no threads, and the helper is for maps whose values do',
  HELPER_NO_REGISTERS: 'the context of the program has no registers',
  HELPER_NO_TRACES: 'the map keeps no traces of the stack, and the helper is for maps that do',
  HELPER_SITE_UNKNOWN: 'a function of the program asks what only the program itself knows about its site',
} as const;

export type HelperErrorCode = keyof typeof HELPER_ERRORS;

export class HelperError extends BpfError {
  override readonly name = 'HelperError';
  override readonly code: HelperErrorCode;

  constructor(code: HelperErrorCode, message: string, options?: BpfErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
