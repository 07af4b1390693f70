import { BpfError, type BpfErrorOptions } from '../errors.ts';

/** Why a map was refused. The keys are the error codes, the values the line the docs print. */
export const MAP_ERRORS = {
  MAP_BAD_KEY: 'a key has another size than the map says',
  MAP_BAD_SPEC: 'the kernel would refuse a map with these numbers',
  MAP_BAD_VALUE: 'a value has another size than the map says',
  MAP_TOO_LARGE: 'the map would take more memory than one map may have',
  MAP_UNKNOWN_TYPE: 'there is no map type with this number',
} as const;

export type MapErrorCode = keyof typeof MAP_ERRORS;

export class MapError extends BpfError {
  override readonly name = 'MapError';
  override readonly code: MapErrorCode;

  constructor(code: MapErrorCode, message: string, options?: BpfErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
