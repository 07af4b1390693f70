/** The passes in their order. */
import type { IrFunction } from '../value.ts';
import { straightenControl } from './control.ts';
import { removeDeadCode } from './dead-code.ts';
import { callsOf, countCalls, inlineCalls } from './inline.ts';
import { numberValues } from './numbering.ts';
import { dropBounds, promoteStack } from './promote.ts';
import { threadJumps } from './threading.ts';

/** Threading uncovers equal values and those uncover known branches; programs settle after one or two turns. */
const MAX_TURNS = 4;

/** Optimises `main` and every function it calls, in place. */
export function optimize(main: IrFunction): void {
  const counts = countCalls(main);
  const done = new Set<IrFunction>();
  const visit = (fn: IrFunction) => {
    if (done.has(fn)) return;
    done.add(fn);
    for (const { callee } of callsOf(fn)) visit(callee);
    inlineCalls(fn, counts);
    optimizeBody(fn);
  };
  visit(main);
}

function optimizeBody(fn: IrFunction): void {
  removeDeadCode(fn);
  straightenControl(fn);
  numberValues(fn);
  // A pointer that was spilled can be followed once its slot is a value.
  for (let turn = 0; turn < MAX_TURNS && promoteStack(fn); turn++) numberValues(fn);
  if (dropBounds(fn)) numberValues(fn);
  for (let turn = 0; turn < MAX_TURNS; turn++) {
    removeDeadCode(fn);
    const straighter = straightenControl(fn);
    const shorter = threadJumps(fn) && straightenControl(fn);
    if (!straighter && !shorter) break;
    numberValues(fn);
  }
  removeDeadCode(fn);
}
