/** Copies that happen all at once, written as moves that happen one after the other. */
import type { Inst, MemOperand, Operand, RegOperand } from './lir.ts';

type Place = RegOperand | MemOperand;

interface Move {
  readonly dst: Place;
  src: Place;
}

/**
 * Writes the first half of the operands from the second half, in hardware registers and frame slots; every destination
 * occurs once.
 */
export function sequence(operands: readonly Operand[], origin: number | undefined): Inst[] {
  const half = operands.length / 2;
  const pending: Move[] = [];
  for (let n = 0; n < half; n++) {
    const [dst, src] = [operands[n] as Place, operands[half + n] as Place];
    if (!isSame(dst, src)) pending.push({ dst, src });
  }
  const insts: Inst[] = [];
  const write = (op: Inst['op'], ...places: Place[]) => insts.push({ op, size: 8, operands: places, origin });

  while (pending.length > 0) {
    const ready = pending.findIndex(({ dst }) => !pending.some(({ src }) => isSame(src, dst)));
    if (ready >= 0) {
      const [{ dst, src }] = pending.splice(ready, 1) as [Move];
      if (dst.kind === 'reg' || src.kind === 'reg') {
        write('mov', dst, src);
      } else {
        write('push', src);
        write('pop', dst);
      }
      continue;
    }
    // Only cycles are left. An exchange puts one place right and shortens its cycle.
    const exchange = pending.findIndex(({ dst, src }) => dst.kind === 'reg' || src.kind === 'reg');
    if (exchange < 0) {
      rotateSlots(pending.splice(0), write);
      break;
    }
    const [{ dst, src }] = pending.splice(exchange, 1) as [Move];
    if (src.kind === 'reg') write('xchg', dst, src);
    else write('xchg', src, dst);
    for (const move of pending) if (isSame(move.src, dst)) move.src = src;
    for (let n = pending.length - 1; n >= 0; n--) if (isSame(pending[n]!.dst, pending[n]!.src)) pending.splice(n, 1);
  }
  return insts;
}

/** Cycles of slots alone go over the stack; rsp moves meanwhile, and slots count from it. */
function rotateSlots(moves: readonly Move[], write: (op: Inst['op'], ...places: Place[]) => void): void {
  const shifted = (place: Place, pushed: number): Place =>
    place.kind === 'mem' ? { ...place, disp: place.disp + 8 * pushed } : place;
  moves.forEach(({ src }, n) => {
    write('push', shifted(src, n));
  });
  moves.toReversed().forEach(({ dst }, n) => {
    write('pop', shifted(dst, moves.length - 1 - n));
  });
}

function isSame(a: Place, b: Place): boolean {
  if (a.kind === 'reg') return b.kind === 'reg' && a.reg === b.reg;
  return b.kind === 'mem' && slotOf(a) === slotOf(b);
}

function slotOf({ anchor }: MemOperand): number {
  if (anchor.in !== 'frame') throw new TypeError('only frame slots are copied in parallel');
  return anchor.slot;
}
