/** Our side of the comparison, through the public API. */
import { basename } from 'node:path';
import { openObject, openProcess } from '../src/index.ts';
import type { Side } from './side.ts';

/** @param path of the object whose programs are to run */
export function remoraSide(path: string): Side {
  return {
    name: 'remora',
    attach(program, target, symbol) {
      const object = openObject(path);
      const process = openProcess(target.pid);
      const link = object.program(program).attachUprobe(process, `${basename(target.path)}:${symbol}`);
      return {
        pauseUs: link.pauseUs,
        sum: (map) =>
          object
            .map(map)
            .entries()
            .reduce((sum, [, value]) => sum + BigInt(value), 0n),
        [Symbol.dispose]() {
          link[Symbol.dispose]();
          process[Symbol.dispose]();
          object[Symbol.dispose]();
        },
      };
    },
  };
}
