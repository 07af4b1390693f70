/**
 * A controller that attaches, updates and detaches, for tests that kill it meanwhile: a counting program at each place, one
 * after the other, then off again in the same order. Usage: session-controller PID PLACE...
 */
import { openObject, openProcess } from '../../src/index.ts';
import { objectFile } from './objects.ts';

const [pid, ...places] = process.argv.slice(2);
using target = openProcess(Number(pid));
using object = openObject(objectFile('count'));
const links = places.map((place) => object.program('on_call').attachTo(target, place));
for (const link of links) link.detach();
