/** Code for system calls that a thread will be asked to make, made before it is stopped: it stands still while code is made. */
import { assembleStub, type RemoteCall, type StubCode, type StubPlace } from './call-stub.ts';

export class PreparedCalls {
  readonly place: StubPlace;
  readonly #codes = new Map<readonly RemoteCall[], ReadonlyMap<number, StubCode>>();

  /** @param runs each as it will be handed to `RemoteCalls.run` */
  constructor(place: StubPlace, runs: readonly (readonly RemoteCall[])[] = []) {
    this.place = place;
    for (const calls of runs) this.#codes.set(calls, this.#assemble(calls));
  }

  /** The code that makes `calls` from the given one on, or as many of them as there is room for. */
  codeFor(calls: readonly RemoteCall[], from: number): StubCode {
    return this.#codes.get(calls)?.get(from) ?? assembleStub(this.place, calls.slice(from));
  }

  #assemble(calls: readonly RemoteCall[]): ReadonlyMap<number, StubCode> {
    const codes = new Map<number, StubCode>();
    for (let from = 0; from < calls.length; ) {
      const code = assembleStub(this.place, calls.slice(from));
      if (code.count === 0) break;
      codes.set(from, code);
      from += code.count;
    }
    return codes;
  }
}
