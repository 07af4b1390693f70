/** What probes of returns need in one target, whatever their function: the return stack, and the unwinders to be guarded. */
import type { Injection } from '../../inject/injection.ts';
import type { ResolvedFunction } from '../../process/resolve-function.ts';
import { findStackCopier, refuseCopiedStacks } from './return-refusals.ts';
import { ReturnStack } from './return-stack.ts';
import { findUnwinders } from './unwinders.ts';

/** What was found in the modules that `key` names. */
interface Known {
  readonly key: string;
  readonly unwinders: readonly ResolvedFunction[];
  readonly copier: string | undefined;
}

export class ReturnSupport {
  readonly #injection: Injection;
  #stack: ReturnStack | undefined;
  #known: Known | undefined;

  constructor(injection: Injection) {
    this.#injection = injection;
  }

  /** The return stack, made for the first function that needs it. @throws {AttachError} ATTACH_RETURN_REFUSED */
  stackFor({ name }: ResolvedFunction): ReturnStack {
    this.#stack ??= new ReturnStack(this.#injection, name);
    return this.#stack;
  }

  /**
   * What has to be guarded for a probe of the return of `target`; looked for again whenever a library came or went.
   *
   * @throws {AttachError} ATTACH_RETURN_REFUSED where stacks are copied
   */
  unwindersFor({ name }: ResolvedFunction): readonly ResolvedFunction[] {
    const { process } = this.#injection;
    const modules = process.modules();
    const key = modules.map(({ path, start }) => `${path} ${start}`).join();
    if (this.#known?.key !== key) {
      this.#known = { key, unwinders: findUnwinders(process), copier: findStackCopier(modules) };
    }
    const { unwinders, copier } = this.#known;
    if (copier !== undefined) refuseCopiedStacks(name, copier);
    return unwinders;
  }
}
