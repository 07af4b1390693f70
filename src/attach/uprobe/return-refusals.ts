/** Functions whose return cannot be probed: they come back twice, never come back, or look at where they return to. */
import type { Module } from '../../process/module.ts';
import type { ResolvedFunction } from '../../process/resolve-function.ts';
import { AttachError } from '../errors.ts';

/** Names without suffixes such as @GLIBC or @plt -> why. */
const REFUSED: readonly (readonly [names: RegExp, why: string])[] = [
  [/^_*(?:sig)?setjmp$|^getcontext$|^swapcontext$/, 'it may return more than once, or in another thread'],
  [/^_*vfork$/, 'it returns twice on the same stack: first in the child, then in the parent'],
  [/^_*(?:sig)?longjmp(?:_chk)?$|^setcontext$/, 'it never returns'],
  [/^_Unwind_/, 'it reads return addresses from the stack, its own among them'],
  [/^_*dl(?:m?open|v?sym)$/, 'it looks at where it returns to, to find the library that calls it'],
  [
    /^_start$|^_dl_start$|^_*restore_rt$|^_dl_runtime_(?:resolve|profile)|^_*morestack/,
    'it is not called as a function',
  ],
  [/^_*mcount$|^__fentry__$/, 'it looks at where it returns to'],
];

/** Sections that only the Go linker writes. */
const GO_SECTIONS = ['.go.buildinfo', '.gopclntab', '.data.rel.ro.gopclntab'] as const;

/** @throws {AttachError} ATTACH_RETURN_REFUSED */
export function requireReturnProbeable({ name, module }: ResolvedFunction): void {
  const plain = name.replace(/@.*$/, '');
  const why = REFUSED.find(([names]) => names.test(plain))?.[1];
  if (why !== undefined) throw refused(name, why, 'probe its entry, or the return of the function that calls it');
  if (GO_SECTIONS.some((section) => module.elf.section(section) !== undefined)) {
    throw refused(
      name,
      `${module.name} is written in Go: its stacks move, and return addresses with them`,
      'probe entries instead: those work',
    );
  }
}

/** Files of libraries that copy stacks away and back, and what they are. */
const STACK_COPIERS: readonly (readonly [file: RegExp, what: string])[] = [
  [/\/_?greenlet\.[^/]*so[^/]*$/, 'greenlet'],
  [/\/continuation\.so$/, "Ruby's callcc"],
];

/** The first of these modules that copies stacks: there, one place on a stack belongs to several calls at a time. */
export function findStackCopier(modules: readonly Pick<Module, 'path'>[]): string | undefined {
  return STACK_COPIERS.find(([file]) => modules.some(({ path }) => file.test(path)))?.[1];
}

/** @throws {AttachError} ATTACH_RETURN_REFUSED where stacks are copied */
export function refuseCopiedStacks(name: string, copier: string): never {
  throw refused(
    name,
    `${copier} is loaded, which copies stacks away and back, and return addresses with them`,
    'probe entries instead: those work',
  );
}

/** @throws {AttachError} ATTACH_RETURN_REFUSED where threads cannot be told apart */
export function refuseWithoutThreadPointers(name: string): never {
  throw refused(
    name,
    'the process has no C library whose threads can be told apart by fs:0',
    'probe entries instead: those work',
  );
}

function refused(name: string, why: string, fix: string): AttachError {
  return new AttachError('ATTACH_RETURN_REFUSED', `cannot probe the return of ${name}: ${why}`, { fix });
}
