/** Our side of the comparison, through the public API. */
import { basename } from 'node:path';
import { openObject, openProcess } from '../src/index.ts';
import { type Side, sumOf } from './side.ts';
import type { BenchProbe } from './workloads.ts';

/** Section prefixes of our attach kinds. */
const KINDS: Readonly<Record<BenchProbe['at'], string>> = {
  entry: 'uprobe',
  return: 'uretprobe',
  override: 'uprobe.override',
};

/** @param path of the object whose programs are to run */
export function remoraSide(path: string): Side {
  return {
    name: 'remora',
    serves: ['entry', 'return', 'override'],
    attach(probes, target, symbol) {
      const object = openObject(path, { allow: ['override'] });
      const process = openProcess(target.pid);
      const close = () => {
        object[Symbol.dispose]();
        process[Symbol.dispose]();
      };
      try {
        const links = probes.map(({ program, at }) =>
          object.program(program).attachTo(process, `${KINDS[at]}:${basename(target.path)}:${symbol}`),
        );
        return {
          pauseUs: links.reduce((sum, link) => sum + link.pauseUs, 0),
          hits: () => links.reduce((sum, link) => sum + link.hits, 0n),
          sum: (map) => sumOf(Array.from(object.map(map).rawEntries(), ([, value]) => value)),
          ring(map) {
            const ring = object.map(map).ringBuffer();
            return { consume: (visit) => ring.consume(visit), lost: () => ring.lost, [Symbol.dispose]: () => {} };
          },
          [Symbol.dispose]: close,
        };
      } catch (error) {
        close();
        throw error;
      }
    },
  };
}
