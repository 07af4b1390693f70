/** What comparisons have to do with each other. */
import type { Condition } from './value.ts';

/** Holds exactly when the key does not. */
export const INVERSE: Readonly<Record<Condition, Condition>> = {
  eq: 'ne',
  ne: 'eq',
  ult: 'uge',
  uge: 'ult',
  ule: 'ugt',
  ugt: 'ule',
  slt: 'sge',
  sge: 'slt',
  sle: 'sgt',
  sgt: 'sle',
  test: 'ntest',
  ntest: 'test',
};

/** Holds for (b, a) exactly when the key holds for (a, b). */
export const SWAPPED: Readonly<Record<Condition, Condition>> = {
  eq: 'eq',
  ne: 'ne',
  ult: 'ugt',
  ugt: 'ult',
  ule: 'uge',
  uge: 'ule',
  slt: 'sgt',
  sgt: 'slt',
  sle: 'sge',
  sge: 'sle',
  test: 'test',
  ntest: 'ntest',
};
