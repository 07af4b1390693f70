import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { HOLDER_DIED, ROBUST_WORD_FROM_END } from './robust-word.ts';

const CHILD = fileURLToPath(new URL('../../tests/support/robust-word-child.js', import.meta.url));
const SIZE = 8192;

/** Another process that holds words, and what they say. */
async function startHolder(args: readonly string[]) {
  const child = spawn(process.execPath, [CHILD, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const line = async (): Promise<string> => (await lines.next()).value;
  const files: number[] = [];
  for (let n = 0; n < Number(args[0]); n++) {
    const [fd, word] = (await line()).split(' ').map(Number);
    assert.equal(word, child.pid, 'the main thread holds it');
    files.push(openSync(`/proc/${child.pid}/fd/${fd}`, 'r'));
  }
  const words = () =>
    files.map((fd) => {
      const word = new Uint32Array(1);
      readSync(fd, word, { position: SIZE - ROBUST_WORD_FROM_END });
      return word[0];
    });
  const end = async (how: () => void) => {
    const ended = once(child, 'exit');
    how();
    await ended;
    const last = words();
    for (const fd of files) closeSync(fd);
    return last;
  };
  return { child, line, words, end };
}

describe('a robust word', () => {
  it('says that its holder was killed, each of several', async () => {
    const { child, words, end } = await startHolder(['3']);
    assert.deepEqual(words(), [child.pid, child.pid, child.pid]);
    assert.deepEqual(await end(() => child.kill('SIGKILL')), [HOLDER_DIED, HOLDER_DIED, HOLDER_DIED]);
  });

  it('says that its holder ended', async () => {
    const { child, end } = await startHolder(['1']);
    assert.deepEqual(await end(() => child.stdin.end()), [HOLDER_DIED]);
  });

  it('can be given back alone, whatever place on the list it has', async () => {
    const { child, line, words, end } = await startHolder(['3', 'release']);
    child.stdin.write('.');
    await line();
    assert.deepEqual(words(), [HOLDER_DIED, child.pid, child.pid]);
    assert.deepEqual(await end(() => child.kill('SIGKILL')), [HOLDER_DIED, HOLDER_DIED, HOLDER_DIED]);
  });
});
