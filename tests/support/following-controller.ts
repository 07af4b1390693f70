/** A controller that attaches to places, some of them in libraries that are loaded later, and follows until it is killed. Usage: PID PLACE... */
import { openObject, openProcess } from '../../src/index.ts';
import { objectFile } from './objects.ts';
import { follow } from './plugins-target.ts';

let said = false;
const [pid, ...places] = process.argv.slice(2);
const target = openProcess(Number(pid));
const object = openObject(objectFile('count'));
for (const place of places) object.program('on_call').attachTo(target, place);
await follow(object, () => {
  if (!said) console.log('follows');
  said = true;
  return false;
});
