/** A debugger that has stopped a thread and does nothing more: traces it until it is killed. Usage: hold TID */
import { Stepper } from './stepper.ts';

// No step: of one that was killed behind a step the kernel hands on the SIGTRAP, and the thread dies of it.
new Stepper(Number(process.argv[2]));
setInterval(() => undefined, 1 << 30);
