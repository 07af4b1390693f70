/** Libraries that are loaded, unloaded and loaded again while they are probed, and controllers that die meanwhile. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { detachSessions, openObject, PENDING, ProcessSessions } from '../../src/index.ts';
import { InjectError } from '../../src/inject/errors.ts';
import { Injection } from '../../src/inject/injection.ts';
import { originAt } from '../../src/process/code-origin.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { repetitions } from '../support/long-form.ts';
import { objectFile } from '../support/objects.ts';
import { CALLS_PER_LOAD, compilePlugins, follow, PluginsTarget } from '../support/plugins-target.ts';
import { stateOf, waitUntil } from '../support/targets.ts';

const FOLLOWING = join(import.meta.dirname, '..', 'support', 'following-controller.js');
const LOADS = BigInt(repetitions(60, 5000));

const attachAll = (object: ReturnType<typeof openObject>, { target }: PluginsTarget, libraries: readonly string[]) =>
  libraries.map((library) => object.program('on_call').attachUprobe(target, `${library}:plugin_work`));

describe('libraries that come and go', { skip: CANNOT_TRACE }, () => {
  const libraries = compilePlugins();

  for (const [mode, how] of [
    ['loop', 'one after the other'],
    ['moving', 'each time elsewhere'],
    ['threads', 'by two threads'],
  ] as const) {
    it(`D6: are loaded and unloaded ${how}: every call is counted, those of their constructors too`, async () => {
      using plugins = new PluginsTarget(mode, libraries);
      const object = openObject(objectFile('count'));
      const links = attachAll(object, plugins, libraries);
      assert.deepEqual(
        links.map(({ method, address }) => [method, address]),
        links.map(() => [PENDING, 0n]),
      );
      await plugins.load(LOADS, object);
      const hits = links.reduce((sum, link) => sum + link.hits, 0n);
      assert.equal(hits, plugins.get('loads') * CALLS_PER_LOAD);
      assert.deepEqual(
        links.map(({ missed, problem }) => [missed, problem]),
        links.map(() => [0n, undefined]),
      );
      object[Symbol.dispose]();
      assert.equal(plugins.get('wrong'), 0n);
      assert.deepEqual(plugins.changedCode(), []);
    });
  }

  for (const [kind, place, perLoad] of [
    ['uretprobe', 'plugin_work', CALLS_PER_LOAD],
    ['uprobe.multi', 'plugin_*', CALLS_PER_LOAD + 2n],
    ['uretprobe.multi', 'plugin_*', CALLS_PER_LOAD + 2n],
  ] as const) {
    it(`D6: are loaded and unloaded under ${kind}`, async () => {
      using plugins = new PluginsTarget('loop', libraries);
      using object = openObject(objectFile('count'));
      const links = libraries.map((library) =>
        object.program('on_call').attachTo(plugins.target, `${kind}:${library}:${place}`),
      );
      await plugins.load(LOADS / 6n, object);
      const hits = links.reduce((sum, link) => sum + link.hits + link.missed, 0n);
      assert.equal(hits, plugins.get('loads') * perLoad);
      assert.equal(plugins.get('wrong'), 0n);
    });
  }

  it('D6: is unloaded unseen, and other memory lies in its place: nothing is written there', async () => {
    using plugins = new PluginsTarget('swap', libraries);
    const object = openObject(objectFile('count'));
    const [link] = attachAll(object, plugins, libraries);
    await follow(
      object,
      () => link!.hits === CALLS_PER_LOAD,
      () => plugins.go(1),
    );
    assert.equal(link!.method, 'jump');
    plugins.go(2);
    waitUntil('it is unloaded', () => plugins.get('loads') === 2n);
    object.detachAll();
    assert.equal(link!.hits, CALLS_PER_LOAD);
    object[Symbol.dispose]();
    assert.ok(!plugins.target.mappings().some(({ path }) => path.includes('memfd:remora')), 'all memory is given back');
    assert.equal(plugins.get('wrong'), 0n);
    assert.deepEqual(plugins.changedCode(), []);
  });

  it('D6: is unloaded before it is changed: a site whose file is not mapped there any more is refused', () => {
    using plugins = new PluginsTarget('swap', libraries);
    const { target } = plugins;
    const injection = new Injection(target);
    const { address } = injection.share(4096);
    const site = {
      address: address + 64n,
      original: new Uint8Array(5),
      wanted: Uint8Array.of(1, 2, 3, 4, 5),
      moves: new Map(),
    };
    const libc = target.findModule('libc.so.6');
    const origin = originAt(target.mappings(), libc.start);
    assert.throws(
      () => injection.patch({ ...site, origin }),
      (error) => error instanceof InjectError && error.code === 'INJECT_SITE_UNLOADED',
    );
    assert.deepEqual(target.memory.read(site.address, 5), site.original);
    injection.patch({ ...site, origin: originAt(target.mappings(), site.address) });
    assert.deepEqual(target.memory.read(site.address, 5), site.wanted);
    assert.equal(injection.release(), true);
  });

  for (const how of ['stopped', 'killed'] as const) {
    it(`D6: wait for a controller that is ${how}: they go on, and what it left can be taken off`, async () => {
      using plugins = new PluginsTarget('loop', libraries);
      const places = libraries.map((library) => `uprobe:${library}:plugin_work`);
      const controller = spawn(process.execPath, [FOLLOWING, String(plugins.running.pid), ...places]);
      await once(controller.stdout, 'data');
      plugins.go(1);
      plugins.awaitProgress();
      controller.kill('SIGSTOP');
      waitUntil('it is stopped', () => stateOf(controller.pid!) === 'T');
      if (how === 'stopped') plugins.awaitProgress();
      controller.kill('SIGKILL');
      await once(controller, 'close');
      for (let n = 0; n < 20; n++) plugins.awaitProgress();
      using sessions = new ProcessSessions(plugins.running.pid);
      assert.deepEqual(
        sessions.sessions.map(({ state }) => state),
        ['quiet'],
      );
      plugins.go(0);
      waitUntil('it stands', () => plugins.get('busy') === 0n);
      assert.deepEqual(
        [...detachSessions(plugins.running.pid, () => true).values()].map(({ memory }) => memory),
        ['released'],
      );
      assert.equal(plugins.get('wrong'), 0n);
      assert.deepEqual(plugins.changedCode(), []);
    });
  }
});
