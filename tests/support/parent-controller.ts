/**
 * A controller that a target has started: it attaches to its own parent, and writes to a file what came of it.
 * Usage: parent-controller FILE
 */
import { renameSync, writeFileSync } from 'node:fs';
import { BpfError, openObject, openProcess } from '../../src/index.ts';
import { objectFile } from './objects.ts';
import { waitUntil } from './targets.ts';

const [file] = process.argv.slice(2);
writeFileSync(`${file}.new`, JSON.stringify(attach(process.ppid)));
renameSync(`${file}.new`, file!);

function attach(pid: number): object {
  try {
    using target = openProcess(pid);
    using object = openObject(objectFile('count'));
    const link = object.program('on_call').attachUprobe(target, 'odd:work');
    waitUntil('it is counted', () => link.hits > 1000n);
    return { counted: true };
  } catch (error) {
    return { code: error instanceof BpfError ? error.code : String(error) };
  }
}
