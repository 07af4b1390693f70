/** The passes in their order. */
import type { IrFunction } from '../value.ts';
import { straightenControl } from './control.ts';
import { removeDeadCode } from './dead-code.ts';
import { numberValues } from './numbering.ts';
import { promoteStack } from './promote.ts';
import { threadJumps } from './threading.ts';

/** Threading uncovers equal values and those uncover known branches; programs settle after one or two turns. */
const MAX_TURNS = 4;

/** Optimises `fn` and every function it calls, in place. */
export function optimize(fn: IrFunction): void {
  for (const { values } of fn.blocks) {
    for (const { operation } of values) if (operation.op === 'call') optimizeOnce(operation.callee);
  }
  removeDeadCode(fn);
  straightenControl(fn);
  numberValues(fn);
  if (promoteStack(fn)) numberValues(fn);
  for (let turn = 0; turn < MAX_TURNS; turn++) {
    removeDeadCode(fn);
    const straighter = straightenControl(fn);
    const shorter = threadJumps(fn) && straightenControl(fn);
    if (!straighter && !shorter) break;
    numberValues(fn);
  }
  removeDeadCode(fn);
}

/** Many may call the same function. */
function optimizeOnce(callee: IrFunction): void {
  if (OPTIMIZED.has(callee)) return;
  OPTIMIZED.add(callee);
  optimize(callee);
}

const OPTIMIZED = new WeakSet<IrFunction>();
