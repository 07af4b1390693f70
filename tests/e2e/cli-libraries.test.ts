/** `remora load` and `remora run` with probes of libraries that are loaded later. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { CLI, jsonLines, RunningRemora, remora } from '../support/cli.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { CALLS_PER_LOAD, compilePlugins, PluginsTarget } from '../support/plugins-target.ts';
import { ROOT } from '../support/root.ts';
import { compileTarget, waitUntil } from '../support/targets.ts';

const COUNT = join(ROOT, 'tests/objects/clang-19/count.bpf.o');
const ROUNDS = 30;

interface Line {
  readonly type: string;
  readonly data: { readonly links: { readonly method: string; readonly address: string; readonly hits: number }[] };
}

describe('libraries that are loaded later', { skip: CANNOT_TRACE }, () => {
  const libraries = compilePlugins();
  const [library] = libraries;
  const attach = ['--attach', `on_call=uprobe:${library}:plugin_work`];

  it('are counted from their constructors on by remora run, however often they come', () => {
    const folder = mkdtempSync(join(tmpdir(), 'remora-libraries-'));
    const data = join(folder, 'data');
    const command = [compileTarget('plugins'), 'run', String(ROUNDS), ...libraries];
    const { status, stderr } = spawnSync(
      process.execPath,
      [CLI, 'run', COUNT, ...attach, '--json', '-o', data, '--', ...command],
      { encoding: 'utf8' },
    );
    const lines = jsonLines(readFileSync(data, 'utf8')) as Line[];
    rmSync(folder, { recursive: true });
    assert.deepEqual([status, stderr], [0, '']);
    // Every other round is another library's.
    const hits = lines.find(({ type }) => type === 'stats')!.data.links[0]!.hits;
    assert.equal(hits, (ROUNDS / 2) * Number(CALLS_PER_LOAD));
  });

  it('are pending until they are there, which remora load tells', async () => {
    using plugins = new PluginsTarget('swap', libraries);
    const running = new RunningRemora(['load', COUNT, '-p', String(plugins.running.pid), ...attach, '--json']);
    await running.says(/"attached"/);
    plugins.go(1);
    await running.says(/"attached".*\n.*"attached"/);
    waitUntil('it is loaded', () => plugins.get('loads') === 1n);
    const { code, stdout, stderr } = await running.end('SIGINT');
    assert.equal(code, 0, stderr);
    const lines = jsonLines(stdout) as Line[];
    const [first, second] = lines.filter(({ type }) => type === 'attached').map(({ data }) => data.links[0]!);
    assert.deepEqual([first!.method, first!.address], ['pending', '0x0']);
    assert.equal(second!.method, 'jump');
    assert.equal(lines.find(({ type }) => type === 'stats')!.data.links[0]!.hits, Number(CALLS_PER_LOAD));
    assert.deepEqual(plugins.changedCode(), []);
  });

  for (const [what, place, pattern] of [
    ['no such file', 'libnothing.so.7:work', /cannot find 'libnothing.so.7'/],
    ['no such function', `${library}:plugin_wrok`, /cannot find function 'plugin_wrok'.*did you mean 'plugin_work'/s],
    ['no instruction there', `${library}:plugin_work+1`, /cannot attach to plugin_work\+1/],
  ] as const) {
    it(`are refused at once where there is ${what}`, async () => {
      using plugins = new PluginsTarget('swap', libraries);
      const where = ['-p', String(plugins.running.pid), '--attach', `on_call=uprobe:${place}`];
      const { code, stderr } = await remora(['load', COUNT, ...where]);
      assert.ok(code === 4 || code === 5, stderr);
      assert.match(stderr, pattern);
    });
  }
});
