/** A controller that is stopped while it holds the threads of its target, and would be so for good. Usage: PID */
import { writeSync } from 'node:fs';
import { openProcess } from '../../src/index.ts';

using target = openProcess(Number(process.argv[2]));
using _held = target.stopThreads();
writeSync(1, 'holding\n');
process.kill(process.pid, 'SIGSTOP');
