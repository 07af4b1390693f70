/** A debugger that has stopped a thread and does nothing more: traces it until it is killed. Usage: hold TID */
import { Stepper } from './stepper.ts';

new Stepper(Number(process.argv[2])).step();
setInterval(() => undefined, 1 << 30);
