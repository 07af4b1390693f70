/**
 * The main job, for real: a bash that is already running and knows nothing of us, a compiled eBPF program that counts what
 * it asks malloc for, the counts read live, a clean detach, and proof that nothing of us stayed behind.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openObject, openProcess } from '../src/index.ts';

/** A shell script that never ends: it builds texts, and writes a line of progress for each. */
const WORK = 'while :; do i=$((i + 1)); text="$text$i "; [ $((i % 100)) = 0 ] && text= && echo $i; done';
const ROUNDS = 4;
const ROUND_MS = 500;

// Compiled, this file lies in dist/examples; the object lies beside its source.
const OBJECT = join(import.meta.dirname, '../../examples/malloc-count.bpf.o');

/** Starts the shell so that it is nobody's child here: an ordinary process that was there before us. */
function startShell(output: string): number {
  const { stdout } = spawnSync('sh', ['-c', `setsid bash -c '${WORK}' >${output} 2>&1 </dev/null & echo $!`], {
    encoding: 'utf8',
  });
  return Number.parseInt(stdout, 10);
}

/** sha256 of every executable mapping of a process, in order of address. */
function codeHash(pid: number): string {
  const hash = createHash('sha256');
  for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
    const mapping = /^([0-9a-f]+)-([0-9a-f]+) ..x. .* (\/.*|\[vdso\])?$/.exec(line);
    if (mapping === null) continue;
    const [start, end] = [BigInt(`0x${mapping[1]}`), BigInt(`0x${mapping[2]}`)];
    hash.update(line).update(readMemory(pid, start, Number(end - start)));
  }
  return hash.digest('hex');
}

function readMemory(pid: number, address: bigint, size: number): Uint8Array {
  using process = openProcess(pid);
  return process.memory.read(address, size);
}

const folder = mkdtempSync(join(tmpdir(), 'remora-demo-'));
const output = join(folder, 'progress');
const pid = startShell(output);
try {
  const progress = (): number => statSync(output).size;
  while (progress() === 0) await sleep(10);
  console.log(`a bash is running: process ${pid}`);
  const before = codeHash(pid);
  console.log(`its code:          sha256 ${before}`);

  {
    using target = openProcess(pid);
    using object = openObject(OBJECT);
    const { links, pauseUs } = object.attachAll(target);
    for (const link of links)
      console.log(`attached:          ${link.program} at ${link.target}, it stood still for ${pauseUs} us`);

    for (let round = 1; round <= ROUNDS; round++) {
      await sleep(ROUND_MS);
      const total = object.map('total').entries()[0]!.value;
      const sizes = object
        .map('sizes')
        .entries()
        .sort((a, b) => Number(b.value) - Number(a.value));
      const top = sizes.slice(0, 4).map(({ key, value }) => `${key} bytes ${value} times`);
      console.log(
        `after ${((round * ROUND_MS) / 1000).toFixed(1)} s:       ${total} calls of malloc: ${top.join(', ')}, ...`,
      );
    }
    object[Symbol.dispose]();
    for (const link of links)
      console.log(`detached:          the program ran ${link.hits} times, ${link.missed} were missed`);
  }

  const after = codeHash(pid);
  console.log(`its code:          sha256 ${after}`);
  if (after !== before) throw new Error('the code of the target is not what it was');
  const seen = progress();
  for (let waited = 0; progress() === seen; waited += 10) {
    if (waited > 5000) throw new Error('the target does not go on');
    await sleep(10);
  }
  console.log('byte for byte what it was, and the bash goes on working');
} finally {
  process.kill(pid, 'SIGKILL');
  rmSync(folder, { recursive: true });
}
