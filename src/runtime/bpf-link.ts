/** What attaching gives: one program at one place of one process. */
import type { BpfError } from '../errors.ts';
import type { LinkedProgram } from '../object/spec.ts';
import type { LiveEntry } from './attach-context.ts';
import type { Session } from './session.ts';

/** What a link says of itself. */
type LinkState = Pick<
  LiveEntry,
  'id' | 'kind' | 'target' | 'address' | 'addresses' | 'method' | 'problem' | 'unreached' | 'codeWithoutFile'
>;

/** One program at one place, until it is detached. */
export class BpfLink implements Disposable {
  #session: Session | undefined;
  readonly #pid: number;
  #state: LinkState;
  /** What it counted while it had a session. */
  #counted = { hits: 0n, missed: 0n };
  readonly program: string;
  readonly section: string;
  /** How long the target stood still for the attach that made this link, in microseconds. */
  readonly pauseUs: number;

  /** @internal */
  constructor(
    session: Session,
    entry: LiveEntry,
    { name, section }: Pick<LinkedProgram, 'name' | 'section'>,
    pauseUs: number,
  ) {
    this.#session = session;
    this.#pid = session.injection.process.pid;
    this.#state = entry;
    this.pauseUs = pauseUs;
    this.program = name;
    this.section = section;
  }

  /** Of the process that it is in. */
  get pid(): number {
    return this.#pid;
  }

  get id(): number {
    return this.#state.id;
  }

  /** The attach kind: 'uprobe'. */
  get kind(): string {
    return this.#state.kind.name;
  }

  /** What it is attached to: 'libc.so.6:malloc'. */
  get target(): string {
    return this.#state.target;
  }

  get address(): bigint {
    return this.#state.address;
  }

  /** All places where the program is reached: one but for links such as `uprobe.multi`. */
  get addresses(): readonly bigint[] {
    return this.#state.addresses;
  }

  /** How many places there are beside that the program is not reached from; undefined of kinds that attach to named places. */
  get unreached(): number | undefined {
    return this.#state.unreached;
  }

  /** How: 'jump'; 'pending' while its library is not loaded. */
  get method(): string {
    return this.#state.method;
  }

  /** How many regions of code made at run time there are that nobody can look into, and that it should see. */
  get codeWithoutFile(): number {
    return this.#state.codeWithoutFile ?? 0;
  }

  /** Why it is not attached to its library though that is loaded. */
  get problem(): BpfError | undefined {
    return this.#state.problem;
  }

  /** How often the program ran; still told after detach. */
  get hits(): bigint {
    return this.#session?.hits(this.id) ?? this.#counted.hits;
  }

  /** How often the place was reached and the program did not run; still told after detach. */
  get missed(): bigint {
    return this.#session?.missed(this.id) ?? this.#counted.missed;
  }

  /** Puts the target's bytes back. A second time does nothing. */
  detach(): void {
    this.#session?.detach([this.id]);
  }

  /** Its session has ended: what it counted stays, and no more. @internal */
  settle(): void {
    const { id, kind, target, address, addresses, method, problem, unreached, codeWithoutFile } = this.#state;
    this.#state = {
      id,
      kind,
      target,
      address,
      addresses,
      method,
      problem,
      unreached,
      codeWithoutFile: codeWithoutFile ?? 0,
    };
    this.#counted = { hits: this.hits, missed: this.missed };
    this.#session = undefined;
  }

  [Symbol.dispose](): void {
    this.detach();
  }
}
