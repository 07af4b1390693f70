/** Programs that some tests need beside a compiler. In CI they are there. */
import { spawnSync } from 'node:child_process';

/** Why a test that needs `program` cannot run here, false if it can. */
export function lacks(program: string): string | false {
  if (process.env.CI === 'true' || spawnSync(program, ['--version']).error === undefined) return false;
  return `${program} is not installed`;
}
