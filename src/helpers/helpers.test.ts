/** Each helper's row against itself: the interpreter's side and the emitted side. Maps have a contract of their own. */

import { THREAD } from '../../tests/contract/fake-kernel.ts';
import { DATA, describeHelper, FACTS, type HelperCase } from '../../tests/contract/helper.contract.ts';
import { Errno } from '../maps/map-type.ts';
import { getBranchSnapshot } from './branches.ts';
import { getSmpProcessorId } from './cpu.ts';
import { getAttachCookie, getFuncIp } from './ip.ts';
import { strtol, strtoul } from './parse-number.ts';
import { tracePrintk, traceVprintk } from './printk.ts';
import { copyFromUser, copyFromUserTask, probeRead, probeReadUser } from './probe-read.ts';
import { probeReadKernelStr, probeReadStr, probeReadUserStr } from './probe-read-str.ts';
import { strncmp } from './strings.ts';
import { getCurrentComm, getCurrentPidTgid, getCurrentUidGid, getNsCurrentPidTgid } from './task.ts';
import { jiffies64, ktimeGetBootNs, ktimeGetCoarseNs, ktimeGetNs, ktimeGetTaiNs } from './time.ts';
import { probeWriteUser } from './write-user.ts';

const EFAULT = -BigInt(Errno.EFAULT);
const EINVAL = -BigInt(Errno.EINVAL);
const PAGE_END = DATA + 4096n;
/** Where the evaluator's stack lies, filled with a5. */
const OWN_STACK = 0x7ffd_0000_0000n;
const UNMAPPED = 0xdead_0000n;
const text = (string: string): Uint8Array => new TextEncoder().encode(string);

const time = THREAD.nowNs + 1n;
describeHelper(ktimeGetNs, [
  { title: 'asks the vDSO', args: [], result: time },
  { title: 'asks the kernel where there is no vDSO', args: [], result: time, facts: { clockGettime: undefined } },
]);

describeHelper(ktimeGetBootNs, [{ title: 'asks for its own clock', args: [], result: THREAD.nowNs + 7n }]);
describeHelper(ktimeGetCoarseNs, [{ title: 'asks for its own clock', args: [], result: THREAD.nowNs + 6n }]);
describeHelper(ktimeGetTaiNs, [{ title: 'asks for its own clock', args: [], result: THREAD.nowNs + 11n }]);

describeHelper(getCurrentUidGid, [
  { title: 'joins group and user', args: [], result: (BigInt(THREAD.gid) << 32n) | BigInt(THREAD.uid) },
]);

const pidTgid = (BigInt(THREAD.pid) << 32n) | BigInt(THREAD.tid);
describeHelper(getCurrentPidTgid, [
  { title: 'joins process and thread', args: [], result: pidTgid },
  {
    title: 'asks the kernel for the thread where its place is unknown',
    args: [],
    result: pidTgid,
    facts: { tidOffset: undefined },
  },
]);

describeHelper(getSmpProcessorId, [{ title: 'tells the processor', args: [], result: 3n }]);
describeHelper(getFuncIp, [{ title: 'tells the function', args: [DATA], result: 0x40_1000n }]);
describeHelper(getAttachCookie, [{ title: 'tells the cookie', args: [DATA], result: 77n }]);

const name = Buffer.from(THREAD.comm).toString('hex');
describeHelper(getCurrentComm, [
  { title: 'writes the name and pads it to 16 bytes', args: [DATA, 16n], result: 0n, after: name.padEnd(32, '0') },
  { title: 'pads it to more than 16 bytes', args: [DATA, 21n], result: 0n, after: name.padEnd(42, '0') },
  { title: 'cuts it to the size', args: [DATA, 4n], result: 0n, after: `${name.slice(0, 6)}00` },
  { title: 'writes only the NUL where there is room for no more', args: [DATA, 1n], result: 0n, after: '00' },
  { title: 'looks at 32 bits of the size', args: [DATA, (7n << 32n) | 1n], result: 0n, after: '00' },
  { title: 'refuses size 0', args: [DATA, 0n], result: EINVAL },
  {
    title: 'writes zeros if the kernel refuses',
    args: [DATA, 9n],
    result: EINVAL,
    after: '0'.repeat(18),
    failing: { 157: -1n },
  },
]);

const reads: readonly HelperCase[] = [
  {
    title: 'copies',
    before: text('........abcdefghijklm'),
    args: [DATA, 5n, DATA + 8n],
    result: 0n,
    after: hex('abcde...abcdefghijklm'),
  },
  {
    title: 'copies more than a word',
    before: text('________________abcdefghijklm'),
    args: [DATA, 13n, DATA + 16n],
    result: 0n,
    after: hex('abcdefghijklm___abcdefghijklm'),
  },
  { title: 'reads nothing, from anywhere', args: [DATA, 0n, UNMAPPED], result: 0n },
  { title: 'looks at 32 bits of the size', args: [DATA, 1n << 32n, UNMAPPED], result: 0n },
  {
    title: 'gives EFAULT and zeros for an unmapped address',
    args: [DATA, 9n, UNMAPPED],
    result: EFAULT,
    after: '0'.repeat(18),
  },
  { title: 'gives EFAULT and zeros for NULL', args: [DATA, 1n, 0n], result: EFAULT, after: '00' },
  {
    title: 'gives EFAULT and zeros for the top of the address space',
    args: [DATA, 8n, (1n << 64n) - 4n],
    result: EFAULT,
    after: '0'.repeat(16),
  },
  {
    title: 'gives EFAULT and zeros for what is mapped only in part',
    args: [DATA, 4n, PAGE_END - 2n],
    result: EFAULT,
    after: '00000000',
  },
  {
    title: 'gives EFAULT and zeros if the kernel refuses',
    args: [DATA, 4n, DATA + 64n],
    result: EFAULT,
    after: '00000000',
    failing: { 310: -1n },
  },
  {
    title: 'reads the page of its own stack without the kernel',
    args: [DATA, 10n, OWN_STACK],
    result: 0n,
    after: 'a5'.repeat(10),
    failing: { 310: -1n },
  },
];
const LASTING = { lasting: [{ start: DATA + 64n, end: DATA + 128n }] };
/** The kernel refuses: what is read all the same was read without it. */
const REFUSED = { failing: { 310: -1n }, facts: LASTING };
const row = (size: number) => text('#'.repeat(size));
const lastingReads: readonly HelperCase[] = [8n, 3n, 64n].flatMap((size) => [
  {
    title: `reads ${size} bytes at the beginning of what lasts without the kernel`,
    before: row(1024),
    args: [DATA + 512n, size, DATA + 64n],
    result: 0n,
    ...REFUSED,
  },
  {
    title: `reads the last ${size} bytes of it without the kernel`,
    before: row(1024),
    args: [DATA + 512n, size, DATA + 128n - size],
    result: 0n,
    ...REFUSED,
  },
  ...[DATA + 63n, DATA + 129n - size, DATA + 128n, DATA + 1n, (1n << 64n) - 1n].map((from) => ({
    title: `asks the kernel for ${size} bytes at ${from - DATA}`,
    before: row(8),
    args: [DATA + 256n, size, from],
    result: EFAULT,
    after: `${hex('#'.repeat(8))}${'ee'.repeat(248)}${'00'.repeat(Number(size))}`,
    ...REFUSED,
  })),
]);
describeHelper(probeRead, [...reads, ...lastingReads]);
describeHelper(probeReadUserStr, [
  {
    title: 'reads what lasts without the kernel',
    before: text(`${'_'.repeat(64)}lasting\0`),
    args: [DATA, 8n, DATA + 64n],
    result: 8n,
    after: hex(`lasting\0${'_'.repeat(56)}lasting\0`),
    facts: LASTING,
  },
]);
describeHelper(probeReadUser, reads);

describeHelper(copyFromUser, reads);
describeHelper(copyFromUserTask, [
  ...reads.map((one) => ({ ...one, args: [...one.args, 0n, 0n] })),
  { title: 'knows no flags', args: [DATA, 4n, DATA + 8n, 0n, 1n], result: EINVAL },
]);

const LONG = 'abcdefghij'.repeat(20);
const strings: readonly HelperCase[] = [
  {
    title: 'copies up to the NUL and leaves what is behind it',
    before: text('________abc\0def'),
    args: [DATA, 8n, DATA + 8n],
    result: 4n,
    after: hex('abc\0____abc\0def'),
  },
  {
    title: 'cuts what is too long',
    before: text('________abcdef\0'),
    args: [DATA, 4n, DATA + 8n],
    result: 4n,
    after: hex('abc\0____abcdef\0'),
  },
  {
    title: 'copies what fits exactly',
    before: text('________abc\0'),
    args: [DATA, 4n, DATA + 8n],
    result: 4n,
    after: hex('abc\0____abc\0'),
  },
  {
    title: 'copies an empty string',
    before: text('____\0'),
    args: [DATA, 4n, DATA + 4n],
    result: 1n,
    after: hex('\0___\0'),
  },
  {
    title: 'copies a long one',
    before: text(`${'_'.repeat(256)}${LONG}\0`),
    args: [DATA, 256n, DATA + 256n],
    result: 201n,
    after: hex(`${LONG}\0${'_'.repeat(55)}${LONG}\0`),
  },
  { title: 'writes nothing where there is no room', args: [DATA, 0n, UNMAPPED], result: 0n },
  { title: 'gives EFAULT and zeros for NULL', args: [DATA, 5n, 0n], result: EFAULT, after: '0'.repeat(10) },
  {
    title: 'gives EFAULT and zeros where memory ends before the string',
    args: [DATA, 70n, PAGE_END - 60n],
    result: EFAULT,
    after: '0'.repeat(140),
  },
  {
    title: 'looks at 32 bits of the size',
    before: text('____abc\0'),
    args: [DATA, (1n << 32n) | 2n, DATA + 4n],
    result: 2n,
    after: hex('a\0__abc\0'),
  },
];
for (const helper of [probeReadStr, probeReadUserStr, probeReadKernelStr]) describeHelper(helper, strings);

describeHelper(probeWriteUser, [
  {
    title: 'writes',
    before: text('____abcd'),
    args: [DATA, DATA + 4n, 3n],
    result: 0n,
    after: hex('abc_abcd'),
  },
  { title: 'gives EFAULT where nothing can be written', args: [UNMAPPED, DATA, 3n], result: EFAULT },
]);

describeHelper(strncmp, [
  { title: 'finds strings equal', before: text('abc\0abc\0'), args: [DATA, 4n, DATA + 4n], result: 0n },
  { title: 'looks no further than the NUL', before: text('ab\0xab\0y'), args: [DATA, 4n, DATA + 4n], result: 0n },
  { title: 'looks no further than the size', before: text('abcxabcy'), args: [DATA, 3n, DATA + 4n], result: 0n },
  { title: 'tells the smaller', before: text('abb\0abc\0'), args: [DATA, 4n, DATA + 4n], result: -1n },
  { title: 'tells the larger', before: text('abd\0abc\0'), args: [DATA, 4n, DATA + 4n], result: 1n },
  { title: 'takes the shorter for smaller', before: text('ab\0_abc\0'), args: [DATA, 4n, DATA + 4n], result: -1n },
  {
    title: 'takes bytes for unsigned',
    before: new Uint8Array([0xff, 0, 1, 0]),
    args: [DATA, 2n, DATA + 2n],
    result: 1n,
  },
]);

describeHelper(getNsCurrentPidTgid, [
  {
    title: 'refuses another namespace',
    args: [1n, 2n, DATA, 8n],
    result: EINVAL,
    after: '0'.repeat(16),
    facts: { outside: { cgroupId: 0n, pidNamespace: { device: 1n, inode: 3n } } },
  },
]);

describeHelper(tracePrintk, [
  { title: 'returns the length of the format', before: text('n=%d\0'), args: [DATA, 5n, 7n], result: 4n },
  { title: 'takes three arguments', before: text('%d %d %d\0'), args: [DATA, 9n, 7n, 8n, 9n], result: 8n },
  { title: 'refuses a format without its NUL', before: text('abcd'), args: [DATA, 4n, 0n], result: EINVAL },
  {
    title: 'refuses a format longer than a record',
    before: new Uint8Array(500).fill(0x61, 0, 499),
    args: [DATA, 500n],
    result: -BigInt(Errno.E2BIG),
  },
]);

describeHelper(traceVprintk, [
  { title: 'takes no arguments', before: text('none\0'), args: [DATA, 5n, 0n, 0n], result: 4n },
  {
    title: 'takes twelve',
    before: text(`${'%d'.repeat(12)}\0`.padEnd(144)),
    args: [DATA, 25n, DATA + 48n, 96n],
    result: 24n,
  },
  { title: 'refuses thirteen', before: text('a\0'), args: [DATA, 2n, DATA, 104n], result: EINVAL },
  { title: 'refuses half an argument', before: text('a\0'), args: [DATA, 2n, DATA, 4n], result: EINVAL },
  { title: 'refuses arguments that are nowhere', before: text('a\0'), args: [DATA, 2n, 0n, 8n], result: EINVAL },
]);

describeHelper(getBranchSnapshot, [
  { title: 'has none', args: [DATA, 24n, 0n], result: -BigInt(Errno.ENOENT) },
  { title: 'knows no flags', args: [DATA, 24n, 1n], result: EINVAL },
]);

// 300 seconds before 0, in ticks of 4 ms, as 32 bits.
const FIRST_JIFFY = (1n << 32n) - 75_000n;
describeHelper(jiffies64, [
  { title: 'counts ticks', args: [], result: FIRST_JIFFY + (THREAD.nowNs + 6n) / FACTS.tickNs },
]);

const ERANGE = -BigInt(Errno.ERANGE);
/** Text, base, what comes back, and the number. */
const NUMBERS: readonly (readonly [text: string, base: bigint, signed: bigint, unsigned: bigint, value: bigint])[] = [
  ['0', 0n, 1n, 1n, 0n],
  ['42', 10n, 2n, 2n, 42n],
  ['42abc', 10n, 2n, 2n, 42n],
  [' \t\n17 ', 0n, 5n, 5n, 17n],
  ['-5', 0n, 2n, EINVAL, -5n],
  ['- 5', 0n, EINVAL, EINVAL, 0n],
  ['-', 0n, EINVAL, EINVAL, 0n],
  ['+5', 0n, EINVAL, EINVAL, 0n],
  ['   ', 0n, EINVAL, EINVAL, 0n],
  ['x', 0n, EINVAL, EINVAL, 0n],
  ['0x1F', 0n, 4n, 4n, 31n],
  ['0x1F', 16n, 4n, 4n, 31n],
  ['1f', 16n, 2n, 2n, 31n],
  ['0xg', 0n, 1n, 1n, 0n],
  ['0xg', 16n, EINVAL, EINVAL, 0n],
  ['017', 0n, 3n, 3n, 15n],
  ['019', 0n, 2n, 2n, 1n],
  ['17', 8n, 2n, 2n, 15n],
  ['12', 2n, EINVAL, EINVAL, 0n],
  ['12', 33n, EINVAL, EINVAL, 0n],
  ['12', 1n << 32n, EINVAL, EINVAL, 0n],
  ['9223372036854775807', 10n, 19n, 19n, (1n << 63n) - 1n],
  ['9223372036854775808', 10n, ERANGE, 19n, 1n << 63n],
  ['-9223372036854775808', 10n, 20n, EINVAL, -(1n << 63n)],
  ['-9223372036854775809', 10n, ERANGE, EINVAL, 0n],
  ['18446744073709551615', 0n, ERANGE, 20n, (1n << 64n) - 1n],
  ['18446744073709551616', 0n, ERANGE, ERANGE, 0n],
  ['-18446744073709551616', 0n, ERANGE, ERANGE, 0n],
  ['1'.repeat(70), 0n, ERANGE, ERANGE, 0n],
  [`${'0'.repeat(70)}1`, 10n, 63n, 63n, 0n],
];
for (const [helper, column] of [
  [strtol, 2],
  [strtoul, 3],
] as const) {
  describeHelper(
    helper,
    NUMBERS.map((row) => {
      const [string, base, , , value] = row;
      const word = Buffer.alloc(8);
      word.writeBigUInt64LE(BigInt.asUintN(64, value));
      const isRead = row[column] >= 0n;
      return {
        title: `reads '${string}' in base ${base}`,
        before: text(`........${string}`),
        args: [DATA + 8n, BigInt(string.length), base, DATA],
        result: row[column],
        after: (isRead ? word.toString('hex') : hex('........')) + hex(string),
      };
    }),
  );
}

function hex(string: string): string {
  return Buffer.from(string).toString('hex');
}
