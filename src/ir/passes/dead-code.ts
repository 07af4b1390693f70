/** Removes values that nothing needs: neither an effect nor the way control takes nor the result. */
import { hasEffect, type IrFunction, type Value } from '../value.ts';

export function removeDeadCode(fn: IrFunction): void {
  const needed = new Set<Value>();
  const open: Value[] = [];
  const need = (value: Value) => {
    if (needed.has(value)) return;
    needed.add(value);
    open.push(value);
  };
  for (const { values, terminator } of fn.blocks) {
    for (const value of values) if (hasEffect(value.operation)) need(value);
    if (terminator?.op === 'branch') need(terminator.condition);
    if (terminator?.op === 'return') need(terminator.value);
  }
  for (let value = open.pop(); value !== undefined; value = open.pop()) value.args.forEach(need);
  for (const block of fn.blocks) block.values = block.values.filter((value) => needed.has(value));
}
