/**
 * A controller that attaches a counting program, says so, and takes it off when it is told to: then it says what it counted, or why
 * it could not. Usage: asked-controller PID PLACE [OBJECT PROGRAM]; without, calls of a function are counted.
 */
import { readSync } from 'node:fs';
import { BpfError, openObject, openProcess } from '../../src/index.ts';
import { objectFile } from './objects.ts';

const [pid, place, file = 'count', program = 'on_call'] = process.argv.slice(2);
const target = openProcess(Number(pid));
const object = openObject(objectFile(file));
const link = object.program(program).attachTo(target, place!);
process.stdout.write('attached\n');
readSync(0, Buffer.alloc(1));
const hits = Number(link.hits);
let refusal: { code: string; message: string; why: string | undefined } | undefined;
try {
  object[Symbol.dispose]();
} catch (error) {
  if (!(error instanceof BpfError)) throw error;
  refusal = { code: error.code, message: error.message, why: error.why };
}
process.stdout.write(`${JSON.stringify({ hits, ...refusal })}\n`);
