/**
 * A controller that attaches and does not come to detach: it ends as HOW says. Usage: PID PLACE HOW [OBJECT PROGRAM]; without,
 * calls are counted.
 */
import { openObject, openProcess } from '../../src/index.ts';
import { objectFile } from './objects.ts';

const [pid, place, how, file = 'count', program = 'on_call'] = process.argv.slice(2);
const object = openObject(objectFile(file), { allow: ['override'] });
object.program(program).attachTo(openProcess(Number(pid)), place!);
if (how === 'throws') throw new Error('on purpose');
if (how === 'exits') process.exit(0);
process.kill(process.pid, 'SIGKILL');
