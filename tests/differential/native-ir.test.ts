/** Random IR, not optimised: machine code against the evaluator, as a whole function and as a body at a site. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Assembler } from '../../src/arch/x64/assembler.ts';
import { emitSysVFunction, lower } from '../../src/arch/x64/lower.ts';
import { at } from '../../src/arch/x64/memory.ts';
import { GENERAL_REGISTERS, Reg, SYSV_SCRATCH } from '../../src/arch/x64/registers.ts';
import type { Builder } from '../../src/ir/builder.ts';
import type { IrFunction } from '../../src/ir/value.ts';
import { evaluate, regions } from '../support/ir-evaluator.ts';
import { CODE_ADDRESS, type NativeProgram, NativeRunner } from '../support/native-runner.ts';
import { IR_MEMORY_SIZE, randomIr } from '../support/random-ir.ts';
import { Random } from '../support/random-program.ts';

const COUNT = Number(process.env.REMORA_DIFFERENTIAL ?? 1000);
const BATCH = 250;
const SIZES = [4, 12, 40, 150] as const;
const ENOSYS = 38n;
/** Where the external function lies: behind a jump to the code under test. */
const EXTERNAL = CODE_ADDRESS + 16n;
/** Not the native one, to show that nothing depends on it. */
const MEMORY = 0x3000_0000_0000n;

interface Case {
  readonly fn: IrFunction;
  readonly code: Uint8Array;
  readonly memory: Uint8Array;
  /** What the evaluator gives for params and site registers. */
  readonly registers: ReadonlyMap<Reg, bigint>;
}

const sizeOf = (seed: number) => SIZES[seed % SIZES.length]!;

/** jmp behind; a function that checks rsp's alignment, changes all it may, and returns 3 a + b */
function writeExternal(a: Assembler): void {
  const start = a.label();
  a.jmp(start);
  a.raw(new Uint8Array(Number(EXTERNAL - a.address)));
  const aligned = a.label();
  a.aluImm('add', Reg.RSP, 8);
  a.testImm(Reg.RSP, 15, 1);
  a.jcc('e', aligned, 'short');
  a.int3();
  a.bind(aligned);
  a.aluImm('sub', Reg.RSP, 8);
  a.imulImm(Reg.RAX, Reg.RDI, 3);
  a.alu('add', Reg.RAX, Reg.RSI);
  for (const register of SYSV_SCRATCH) if (register !== Reg.RAX) a.movImm(register, 0xdead_0000_0000_beefn);
  a.ret();
  a.bind(start);
}

/** Parameters: the memory, and its size. */
function wholeFunction(seed: number): Case {
  const inputs = (b: Builder) => {
    const [memory, size] = [b.fn, b.fn].map((fn, index) => fn.value({ op: 'param', index }));
    b.block.values.push(memory!, size!);
    return { memory: memory!, numbers: [size!] };
  };
  const fn = randomIr(seed, sizeOf(seed), { inputs, paramCount: 2, external: EXTERNAL });
  const a = new Assembler(CODE_ADDRESS);
  writeExternal(a);
  emitSysVFunction(a, fn);
  return { fn, code: a.finish(), memory: randomMemory(seed, IR_MEMORY_SIZE), registers: new Map() };
}

/**
 * A body between a site's registers, which come from memory and must be the same afterwards:
 *
 *     push <what the ABI keeps>; push memory
 *     load all registers
 *     push <clobbered>; body; pop <clobbered>      what a trampoline does
 *     store all registers, and the result
 */
function bodyAtSite(seed: number): Case {
  const random = new Random(~seed);
  const memoryRegister = random.pick(GENERAL_REGISTERS);
  const used = GENERAL_REGISTERS.filter((register) => register !== memoryRegister && random.chance(0.5));
  const inputs = (b: Builder) => ({
    memory: b.site({ in: 'register', register: memoryRegister }),
    numbers: used.map((register) => b.site({ in: 'register', register })),
  });
  const fn = randomIr(seed, sizeOf(seed), { inputs, paramCount: 0, external: EXTERNAL });
  const result = random.chance(0.7) ? Reg.RAX : undefined;
  const program = lower(fn, { nearAddress: CODE_ADDRESS, preferred: random.chance(0.3) ? SYSV_SCRATCH : [], result });

  const a = new Assembler(CODE_ADDRESS);
  writeExternal(a);
  for (const register of GENERAL_REGISTERS) a.push(register);
  a.push(Reg.RDI);
  const registersAt = (register: Reg) => IR_MEMORY_SIZE + 8 * register;
  for (const register of GENERAL_REGISTERS) {
    if (register !== Reg.RDI && register !== memoryRegister) a.mov(register, at(Reg.RDI, registersAt(register)));
  }
  if (memoryRegister !== Reg.RDI) {
    a.mov(memoryRegister, Reg.RDI);
    a.mov(Reg.RDI, at(Reg.RDI, registersAt(Reg.RDI)));
  }
  const saved = [...program.clobbered].filter((register) => register !== result);
  for (const register of saved) a.push(register);
  program.emitBody(a, { siteStack: 8 * saved.length });
  for (const register of saved.toReversed()) a.pop(register);
  a.push(Reg.RDI);
  a.mov(Reg.RDI, at(Reg.RSP, 8));
  for (const register of GENERAL_REGISTERS) {
    if (register !== Reg.RDI) a.mov(at(Reg.RDI, registersAt(register)), register);
  }
  a.pop(at(Reg.RDI, registersAt(Reg.RDI)));
  a.aluImm('add', Reg.RSP, 8);
  for (const register of GENERAL_REGISTERS.toReversed())
    if (register !== Reg.RAX) a.pop(register);
    else a.aluImm('add', Reg.RSP, 8);
  a.ret();
  program.emitFunctions(a);

  const memory = randomMemory(seed, IR_MEMORY_SIZE + 8 * 16);
  const view = new DataView(memory.buffer);
  const registers = new Map(
    GENERAL_REGISTERS.map((register) => [register, view.getBigUint64(registersAt(register), true)]),
  );
  return { fn, code: a.finish(), memory, registers: registers.set(memoryRegister, MEMORY) };
}

function randomMemory(seed: number, size: number): Uint8Array {
  const random = new Random(seed + 1);
  return Uint8Array.from({ length: size }, () => random.below(256));
}

/** What the function must return and leave in its part of the memory. */
function expected({ fn, memory, registers }: Case): { result: bigint; memory: Uint8Array } {
  const bytes = memory.slice(0, IR_MEMORY_SIZE);
  const result = evaluate(fn, {
    args: fn.paramCount === 0 ? [] : [MEMORY, BigInt(IR_MEMORY_SIZE)],
    memory: regions({ address: MEMORY, bytes }),
    site: (source) => (source.in === 'register' ? registers.get(source.register as Reg)! : 0n),
    syscall: () => -ENOSYS,
    callAddress: (_, [a = 0n, b = 0n]) => 3n * a + b,
  });
  return { result, memory: bytes };
}

async function compare(make: (seed: number) => Case, check: (actual: Case, memory: Uint8Array, seed: number) => void) {
  using runner = new NativeRunner();
  for (let first = 1; first <= COUNT; first += BATCH) {
    const seeds = Array.from({ length: Math.min(BATCH, COUNT - first + 1) }, (_, n) => first + n);
    const cases = seeds.map(make);
    const programs = cases.map(({ code, memory }): NativeProgram => ({ code, memory: memory.slice() }));
    const outcomes = await runner.run(programs);
    for (const [n, outcome] of outcomes.entries()) {
      const where = `seed ${seeds[n]}`;
      assert.ok('result' in outcome, `${where}: ${'died' in outcome ? outcome.died : ''}`);
      const right = expected(cases[n]!);
      if (cases[n]!.fn.paramCount > 0) assert.equal(outcome.result, right.result, where);
      assert.deepEqual(outcome.memory.slice(0, IR_MEMORY_SIZE), right.memory, where);
      check(cases[n]!, outcome.memory, seeds[n]!);
    }
  }
}

describe(`${COUNT} random IR functions`, () => {
  it('do as machine code what they mean', () => compare(wholeFunction, () => {}));

  it('leave the registers of a site as they were', () =>
    compare(bodyAtSite, ({ memory, registers }, left, seed) => {
      const [before, after] = [memory, left].map((bytes) => new DataView(bytes.buffer, bytes.byteOffset));
      for (const [register, value] of registers) {
        if (value === MEMORY || register === Reg.RAX) continue; // the memory's own address; the result
        const at = IR_MEMORY_SIZE + 8 * register;
        assert.equal(
          after!.getBigUint64(at, true),
          before!.getBigUint64(at, true),
          `seed ${seed}, register ${register}`,
        );
      }
    }));
});
