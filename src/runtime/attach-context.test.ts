import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AttachImpl, EbpfCallback } from '../attach/attach-impl.ts';
import { AttachError } from '../attach/errors.ts';
import { struct } from '../bytes/struct.ts';
import { AttachContext } from './attach-context.ts';
import { HandlerTable } from './handlers.ts';

const UNCOUNTED = { counter: 0, hitsBefore: 0n, missedBefore: 0n };

const KIND = { type: 6, name: 'uprobe', sections: ['uprobe'], context: struct('ctx', 8, { di: 'u64' }), helpers: [] };

/** An implementation that writes down what it was asked to do, and refuses the place 'bad'. */
function recordingImpl(log: string[]): AttachImpl<string> {
  return {
    kinds: [KIND],
    parsePrivateData: (text) => text,
    createAttach(kind, at, { name }) {
      if (at === 'bad') throw new AttachError('ATTACH_BAD_TARGET', 'no such place');
      log.push(`${kind.name} ${at} -> ${name}`);
      return { target: at, address: 0x1000n, method: 'none', detach: () => log.push(`detach ${at}`) };
    },
  };
}

function callback(name: string): EbpfCallback {
  return {
    name,
    cookie: 0n,
    missedCell: 0n,
    allowed: new Set(),
    compile: () => {
      throw new Error('nothing is compiled here');
    },
    map: () => undefined,
  };
}

let ids = 0;

/** A table with one program and a link to it for each place. */
function contextFor(places: readonly string[], log: string[]) {
  const table = HandlerTable.create(new Uint8Array(4096), 16, { hits: 0, missed: 0, btf: 0, btfSize: 0 });
  const program = table.add({ kind: 'program', name: 'count', section: 'uprobe', insnCount: 2 });
  const links = places.map((privateData) => {
    const perfEvent = table.add({ kind: 'perf event', attachType: KIND.type, privateData, cookie: 0n });
    return table.add({ kind: 'link', program, perfEvent, entryId: 0, address: 0n, ...UNCOUNTED });
  });
  const batch = <T>(body: () => T): T => {
    log.push('(');
    const result = body();
    log.push(')');
    return result;
  };
  return {
    table,
    links,
    context: new AttachContext({ table, callbackOf: () => callback('count'), nextId: () => ++ids, batch }),
  };
}

const code = (wanted: string) => (error: unknown) => error instanceof AttachError && error.code === wanted;

describe('AttachContext', () => {
  it('attaches every stored link in one batch, and detaches newest first', () => {
    const log: string[] = [];
    {
      const { context, table, links } = contextFor(['a', 'b'], log);
      using open = context;
      open.register(recordingImpl(log));
      assert.deepEqual(open.instantiate(), [1, 2]);
      assert.deepEqual(table.get(links[1]!), {
        kind: 'link',
        program: 0,
        perfEvent: 3,
        entryId: 2,
        address: 0x1000n,
        ...UNCOUNTED,
      });
    }
    assert.deepEqual(log, ['(', 'uprobe a -> count', 'uprobe b -> count', ')', '(', 'detach b', 'detach a', ')']);
  });

  it('attaches nothing if one link fails', () => {
    const log: string[] = [];
    const { context, table, links } = contextFor(['a', 'bad'], log);
    context.register(recordingImpl(log));
    assert.throws(() => context.instantiate(), code('ATTACH_BAD_TARGET'));
    assert.deepEqual(log, ['(', 'uprobe a -> count', 'detach a']);
    assert.equal(context.entries.length, 0);
    assert.equal((table.get(links[0]!) as { entryId: number }).entryId, 0);
  });

  it('detaches by entry id, once', () => {
    const log: string[] = [];
    const { context } = contextFor(['a', 'b'], log);
    context.register(recordingImpl(log));
    const [first] = context.instantiate();
    context.detach([first!]);
    context.detach([first!]);
    assert.equal(log.filter((line) => line === 'detach a').length, 1);
    assert.deepEqual(
      context.entries.map(({ target }) => target),
      ['b'],
    );
  });

  it('makes a detached link live again under a new id', () => {
    const { context, links } = contextFor(['a'], []);
    context.register(recordingImpl([]));
    const [first] = context.instantiate();
    context.detach([first!]);
    assert.deepEqual(context.instantiate(links), [first! + 1]);
  });

  it('refuses a second implementation of one type', () => {
    const { context } = contextFor([], []);
    context.register(recordingImpl([]));
    assert.throws(() => context.register(recordingImpl([])), code('ATTACH_TYPE_TAKEN'));
  });

  it('refuses a type that nothing serves, and a slot that is no link', () => {
    const { context, links } = contextFor(['a'], []);
    assert.throws(() => context.instantiate(links), code('ATTACH_NO_IMPL'));
    assert.throws(() => context.instantiate([0]), code('ATTACH_BAD_SLOT'));
    assert.throws(() => context.instantiate([99]), code('ATTACH_BAD_SLOT'));
  });
});
