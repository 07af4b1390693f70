/** A controller that attaches and does not come to detach: it ends as its last argument says. Usage: PID PLACE HOW */
import { openObject, openProcess } from '../../src/index.ts';
import { objectFile } from './objects.ts';

const [pid, place, how] = process.argv.slice(2);
const object = openObject(objectFile('count'));
object.program('on_call').attachTo(openProcess(Number(pid)), place!);
if (how === 'throws') throw new Error('on purpose');
if (how === 'exits') process.exit(0);
process.kill(process.pid, 'SIGKILL');
