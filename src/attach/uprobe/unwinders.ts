/** The functions of a process that walk a stack by its return addresses. */
import { SymbolType } from '../../elf/symbols.ts';
import { BpfError } from '../../errors.ts';
import type { Module } from '../../process/module.ts';
import type { ResolvedFunction } from '../../process/resolve-function.ts';
import type { TargetProcess } from '../../process/target-process.ts';

/**
 * Where unwinding begins, in libgcc and in LLVM's libunwind, shared or linked into a program. Source: Itanium C++ ABI, exception
 * handling, 1.4; gcc's unwind.inc.
 */
const ENTRIES = [
  '_Unwind_RaiseException',
  '_Unwind_Resume',
  '_Unwind_Resume_or_Rethrow',
  '_Unwind_ForcedUnwind',
  '_Unwind_Backtrace',
] as const;
/**
 * Functions of the C library that load the unwinder only when they need it, and those that every unwinder asks where code
 * belongs before it reads the next return address: so one that is loaded after us is met too.
 */
const LATE = ['backtrace', 'pthread_exit', '__libc_unwind_link_get', '_dl_find_object', 'dl_iterate_phdr'] as const;

/** Each of them once, whatever it is called. */
export function findUnwinders(process: TargetProcess): readonly ResolvedFunction[] {
  const found = new Map<bigint, ResolvedFunction>();
  for (const module of process.modules()) {
    for (const name of [...ENTRIES, ...LATE]) {
      const unwinder = definedIn(process, module, name);
      if (unwinder !== undefined) found.set(unwinder.address, unwinder);
    }
  }
  return [...found.values()];
}

function definedIn(process: TargetProcess, module: Module, name: string): ResolvedFunction | undefined {
  try {
    const symbol = module.elf.findSymbol(name);
    if (symbol === undefined || symbol.section === 0 || symbol.type !== SymbolType.FUNC) return undefined;
    return process.resolveFunction(module, name);
  } catch (error) {
    // A file that cannot be read defines nothing that we could find.
    if (error instanceof BpfError) return undefined;
    throw error;
  }
}
