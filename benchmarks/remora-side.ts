/** Our side of the comparison, through the public API. */
import { basename } from 'node:path';
import { openObject, openProcess } from '../src/index.ts';
import { type Side, sumOf } from './side.ts';

/** @param path of the object whose programs are to run */
export function remoraSide(path: string): Side {
  return {
    name: 'remora',
    attach(program, target, symbol) {
      const object = openObject(path);
      const process = openProcess(target.pid);
      const close = () => {
        object[Symbol.dispose]();
        process[Symbol.dispose]();
      };
      try {
        const link = object.program(program).attachUprobe(process, `${basename(target.path)}:${symbol}`);
        return {
          pauseUs: link.pauseUs,
          hits: () => link.hits,
          sum: (map) => sumOf(Array.from(object.map(map).rawEntries(), ([, value]) => value)),
          [Symbol.dispose]: close,
        };
      } catch (error) {
        close();
        throw error;
      }
    },
  };
}
