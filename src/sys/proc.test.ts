import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isSysError } from './errors.ts';
import { Capability, parseStatus, readStatus, readThreadIds, readThreadState } from './proc.ts';

const STATUS = `Name:	a) b:c
State:	t (tracing stop)
Tgid:	77
Pid:	78
PPid:	1
TracerPid:	4242
Uid:	1000	0	1001	0
Gid:	5	6	7	8
Threads:	3
NSpid:	78	2
SigCgt:	0000000180004002
CapPrm:	000001ffffffffff
CapEff:	0000000000080000
Seccomp:	2
`;

describe('parseStatus', () => {
  it('reads what decides whether a process can be entered', () => {
    assert.deepEqual(parseStatus(STATUS), {
      name: 'a) b:c',
      state: 't',
      tgid: 77,
      parent: 1,
      tracer: 4242,
      uids: [1000, 0, 1001, 0],
      gids: [5, 6, 7, 8],
      threadCount: 3,
      seccomp: 2,
      namespacePids: [78, 2],
      caughtSignals: 0x1_8000_4002n,
      effectiveCapabilities: Capability.SYS_PTRACE,
      permittedCapabilities: 0x1ff_ffff_ffffn,
    });
  });

  it('takes lines for 0 that an old kernel does not write', () => {
    const { seccomp, caughtSignals, namespacePids } = parseStatus('Name:\tx\n');
    assert.deepEqual([seccomp, caughtSignals, namespacePids], [0, 0n, []]);
  });
});

describe('/proc', () => {
  it('tells about this process', () => {
    const status = readStatus(process.pid);
    assert.equal(status.tgid, process.pid);
    assert.equal(status.parent, process.ppid);
    assert.ok(readThreadIds(process.pid).includes(process.pid));
    assert.ok('RS'.includes(readThreadState(process.pid, process.pid)!));
  });

  it('tells that there is no such process', () => {
    assert.throws(
      () => readStatus(0x7fff_fff0),
      (e) => isSysError(e, 'SYS_ENOENT'),
    );
    assert.equal(readThreadState(process.pid, 0x7fff_fff0), undefined);
  });
});
