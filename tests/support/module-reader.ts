/** Reads the file of each module of a process, and says of each whether it could be, or why not. Usage: module-reader PID */
import { BpfError, openProcess } from '../../src/index.ts';

const target = openProcess(Number(process.argv[2]));
const outcomes = target.modules().map((module) => {
  try {
    void module.elf;
    return [module.name, 'read'];
  } catch (error) {
    return [module.name, error instanceof BpfError ? error.code : String(error)];
  }
});
console.log(JSON.stringify(Object.fromEntries(outcomes)));
