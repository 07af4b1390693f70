/** Every helper and kernel function there is: a new one is a row in its family's file and a name here. */
import { getBranchSnapshot } from './branches.ts';
import { forEachMapElem, loop } from './call-back.ts';
import { currentTaskUnderCgroup } from './cgroup.ts';
import { getNumaNodeId, getSmpProcessorId } from './cpu.ts';
import {
  dynptrData,
  dynptrFromMem,
  dynptrRead,
  dynptrWrite,
  ringbufDiscardDynptr,
  ringbufReserveDynptr,
  ringbufSubmitDynptr,
} from './dynptr.ts';
import { getCurrentTask, getCurrentTaskBtf } from './faked-task.ts';
import { getFuncArg, getFuncArgCnt, getFuncRet, getRetval, overrideReturn, setRetval } from './function-call.ts';
import type { Helper } from './helper.ts';
import { getAttachCookie, getFuncIp } from './ip.ts';
import { mapDeleteElem, mapLookupElem, mapLookupPercpuElem, mapUpdateElem } from './map-elem.ts';
import { mapPeekElem, mapPopElem, mapPushElem } from './map-keyless.ts';
import { iterNumDestroy, iterNumNew, iterNumNext } from './number-iterator.ts';
import { strtol, strtoul } from './parse-number.ts';
import { perfEventOutput } from './perf-event-output.ts';
import { tracePrintk, traceVprintk } from './printk.ts';
import { copyFromUser, copyFromUserTask, probeRead, probeReadKernel, probeReadUser } from './probe-read.ts';
import { probeReadKernelStr, probeReadStr, probeReadUserStr } from './probe-read-str.ts';
import { getPrandomU32 } from './random.ts';
import { ringbufDiscard, ringbufOutput, ringbufQuery, ringbufReserve, ringbufSubmit } from './ringbuf.ts';
import { sendSignal, sendSignalThread } from './signal.ts';
import { snprintf } from './snprintf.ts';
import { getStack, getStackId, getTaskStack } from './stack.ts';
import { strncmp } from './strings.ts';
import { tailCall } from './tail-call.ts';
import {
  getCurrentCgroupId,
  getCurrentComm,
  getCurrentPidTgid,
  getCurrentUidGid,
  getNsCurrentPidTgid,
} from './task.ts';
import { taskPtRegs } from './task-registers.ts';
import { taskStorageDelete, taskStorageGet } from './task-storage.ts';
import { jiffies64, ktimeGetBootNs, ktimeGetCoarseNs, ktimeGetNs, ktimeGetTaiNs } from './time.ts';
import { userRingbufDrain } from './user-ringbuf.ts';
import { probeWriteUser } from './write-user.ts';

const ROWS: readonly Helper[] = [
  mapLookupElem,
  mapUpdateElem,
  mapDeleteElem,
  mapLookupPercpuElem,
  forEachMapElem,
  loop,
  mapPushElem,
  mapPopElem,
  mapPeekElem,
  tailCall,
  probeRead,
  ktimeGetNs,
  ktimeGetBootNs,
  ktimeGetCoarseNs,
  ktimeGetTaiNs,
  tracePrintk,
  traceVprintk,
  snprintf,
  strtol,
  strtoul,
  jiffies64,
  getPrandomU32,
  getSmpProcessorId,
  getNumaNodeId,
  getCurrentPidTgid,
  getCurrentComm,
  getCurrentTask,
  getCurrentTaskBtf,
  taskStorageGet,
  taskStorageDelete,
  taskPtRegs,
  getCurrentUidGid,
  getCurrentCgroupId,
  getNsCurrentPidTgid,
  sendSignal,
  sendSignalThread,
  probeReadUser,
  probeReadKernel,
  copyFromUser,
  copyFromUserTask,
  probeReadStr,
  probeReadUserStr,
  probeReadKernelStr,
  probeWriteUser,
  strncmp,
  getStackId,
  getStack,
  getTaskStack,
  getBranchSnapshot,
  currentTaskUnderCgroup,
  getFuncIp,
  getAttachCookie,
  overrideReturn,
  getFuncArg,
  getFuncRet,
  getFuncArgCnt,
  getRetval,
  setRetval,
  perfEventOutput,
  ringbufOutput,
  ringbufReserve,
  ringbufSubmit,
  ringbufDiscard,
  ringbufQuery,
  dynptrFromMem,
  ringbufReserveDynptr,
  ringbufSubmitDynptr,
  ringbufDiscardDynptr,
  dynptrRead,
  dynptrWrite,
  dynptrData,
  userRingbufDrain,
  iterNumNew,
  iterNumNext,
  iterNumDestroy,
];

/** By the kernel's number, kernel functions by ours. */
export const HELPERS: ReadonlyMap<number, Helper> = new Map(ROWS.map((helper) => [helper.id, helper]));

/** The helper of that name, undefined if there is none. */
export function helperByName(name: string): Helper | undefined {
  return ROWS.find((helper) => helper.name === name);
}
