/** Calls of kernel functions in objects: what is here, what is not, and what a program asks about before it calls. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { COMPILERS, objectFile } from '../../tests/support/objects.ts';
import { verifyOptions } from '../../tests/support/verifier-subject.ts';
import { readObject } from '../object/read-object.ts';
import { verify } from './verify.ts';

describe('a kernel function', () => {
  for (const compiler of COMPILERS) {
    for (const [object, program, refusal] of [
      ['iterators', 'on_loops', undefined],
      ['unsupported-kernel-functions', 'may', undefined],
      [
        'unsupported-kernel-functions',
        'must',
        /calling kernel function bpf_task_from_pid is not allowed: .*structures of the kernel/,
      ],
      ['unsupported-kernel-functions', 'may_not', /calling kernel function bpf_strnstr is not allowed: .*bpf_strncmp/],
    ] as const) {
      it(`is ${refusal === undefined ? 'taken' : 'refused by name'} in ${program} of ${object}, ${compiler}`, () => {
        const { programs, maps, btf } = readObject(objectFile(object, compiler));
        const verdict = verify(
          programs.find(({ name }) => name === program)!,
          verifyOptions({ maps, type: 'uprobe', btf }),
        );
        if (refusal === undefined) {
          assert.equal(verdict.verdict, 'accept', verdict.verdict === 'reject' ? verdict.error.message : '');
          return;
        }
        assert.ok(verdict.verdict === 'reject');
        assert.equal(verdict.error.code, 'VERIFIER_KFUNC');
        assert.match(verdict.error.message, refusal);
        assert.match(verdict.error.line?.text ?? '', /bpf_/);
      });
    }
  }
});
