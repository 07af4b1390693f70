/** A thread that scribbles over shared memory until the word behind it is not 0. */
import { workerData } from 'node:worker_threads';
import { mapMemory } from '../../src/maps/memory.ts';
import { randomNumbers, scribble } from './scribbler.ts';

const { memory, stop } = workerData as { readonly memory: SharedArrayBuffer; readonly stop: SharedArrayBuffer };
const map = mapMemory(new Uint8Array(memory));
const random = randomNumbers(77);
const ended = new Int32Array(stop);
while (Atomics.load(ended, 0) === 0) for (let n = 0; n < 64; n++) scribble(map, random);
