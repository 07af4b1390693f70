/** The floors, as a test: a folder imports only what its row names, and a file that is below never looks up. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, it } from 'node:test';
import { ROOT } from '../support/root.ts';

const SRC = join(ROOT, 'src');

/** What each folder may import besides itself and errors.ts. This table is the architecture; see ARCHITECTURE.md. */
const FLOORS: Readonly<Record<string, readonly string[]>> = {
  bytes: [],
  insn: ['bytes'],
  elf: ['bytes'],
  btf: ['bytes'],
  ir: ['bytes'],
  sys: ['bytes'],
  maps: ['bytes', 'insn', 'ir'],
  arch: ['bytes', 'ir'],
  helpers: ['bytes', 'insn', 'ir', 'maps'],
  object: ['bytes', 'insn', 'elf', 'btf', 'maps'],
  process: ['bytes', 'elf', 'sys', 'arch'],
  verifier: ['bytes', 'insn', 'btf', 'maps', 'helpers', 'object'],
  vm: ['bytes', 'insn', 'maps', 'helpers', 'object'],
  inject: ['bytes', 'sys', 'arch', 'process'],
  compile: ['bytes', 'insn', 'ir', 'maps', 'helpers', 'object', 'verifier', 'arch'],
  attach: ['bytes', 'btf', 'maps', 'helpers', 'compile', 'inject'],
  runtime: [
    'bytes',
    'insn',
    'ir',
    'elf',
    'btf',
    'sys',
    'maps',
    'arch',
    'helpers',
    'object',
    'process',
    'verifier',
    'vm',
    'inject',
    'compile',
    'attach', // never attach/uprobe and its neighbours: the runtime does not know how anything is attached
  ],
  'attach/uprobe': ['attach', 'bytes', 'elf', 'btf', 'ir', 'maps', 'arch', 'compile', 'process', 'inject', 'helpers'],
  'attach/syscall': ['attach', 'bytes', 'elf', 'arch', 'compile', 'process', 'inject', 'helpers'],
  cli: ['index.ts'],
};

/** The row a file belongs to: its first folder; below attach/ each implementation is a floor of its own. */
const rowOf = (file: string): string | undefined => /^(?:attach\/[^/]+(?=\/)|[^/]+(?=\/))/.exec(file)?.[0];

/** What is wrong with the imports of one file, in words; empty if nothing. `file` is relative to src. */
export function forbiddenImports(file: string, text: string): string[] {
  const row = rowOf(file);
  if (row === undefined) return [];
  const floor = FLOORS[row];
  if (floor === undefined) return [`${file} lies in a folder without a floor`];
  const allowed = [row, 'errors.ts', ...floor];
  const paths = [...text.matchAll(/(?:from|import) '(\.[^']+)'|import\('(\.[^']+)'\)/g)].map((m) => m[1] ?? m[2]!);
  return paths
    .map((path) => normalize(join(dirname(file), path)))
    .filter((target) => !allowed.includes(rowOf(target) ?? target))
    .map((target) => `${file} (${row}) may not import ${target}`);
}

const sources = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((f) => /(?<!\.test)\.ts$/.test(f));

describe('floors', () => {
  it('finds the sources', () => assert.ok(sources.length > 50, `only ${sources.length} files`));

  for (const file of sources) {
    it(file, () => assert.deepEqual(forbiddenImports(file, readFileSync(join(SRC, file), 'utf8')), []));
  }

  // The test of the test: what it must refuse.
  for (const [why, file, line] of [
    ['a reader that looks up', 'elf/header.ts', "import { verify } from '../verifier/verify.ts';"],
    [
      'a runtime that knows how functions are patched',
      'runtime/load.ts',
      "import { x } from '../attach/uprobe/uprobe.ts';",
    ],
    ['a type-only import upwards', 'bytes/struct.ts', "import type { Insn } from '../insn/insn.ts';"],
    ['one attach implementation in another', 'attach/uprobe/site.ts', "import { x } from '../syscall/site.ts';"],
    ['a re-export', 'elf/all.ts', "export { x } from '../runtime/x.ts';"],
    ['a lazy import', 'ir/late.ts', "const x = await import('../sys/ptrace.ts');"],
    ['a command that goes past the public API', 'cli/load.ts', "import { x } from '../runtime/session.ts';"],
    ['a folder without a floor', 'misc/x.ts', ''],
  ] as const) {
    it(`refuses ${why}`, () => assert.equal(forbiddenImports(file, line).length, 1));
  }

  it('has no cycle between files', () => {
    const importsOf = new Map(
      sources.map((file) => {
        const text = readFileSync(join(SRC, file), 'utf8');
        // Types vanish at run time, and a pair of types may name each other.
        const lines = [...text.matchAll(/(?:import|export) (?!type )[^;]*?from '(\.[^']+)'/gs)];
        return [file, lines.map((m) => normalize(join(dirname(file), m[1]!)))] as const;
      }),
    );
    const done = new Set<string>();
    const visit = (file: string, path: readonly string[]): void => {
      assert.ok(!path.includes(file), `import cycle: ${[...path, file].join(' -> ')}`);
      if (done.has(file)) return;
      for (const next of importsOf.get(file) ?? []) visit(next, [...path, file]);
      done.add(file);
    };
    for (const file of sources) visit(file, []);
  });
});
