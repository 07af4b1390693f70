/** What probes of returns need in one target, whatever their function: the return stack, and the unwinders to be guarded. */
import type { Injection } from '../../inject/injection.ts';
import type { ResolvedFunction } from '../../process/resolve-function.ts';
import { ReturnStack } from './return-stack.ts';
import { findUnwinders } from './unwinders.ts';

export class ReturnSupport {
  readonly #injection: Injection;
  #stack: ReturnStack | undefined;
  #known: { readonly modules: string; readonly unwinders: readonly ResolvedFunction[] } | undefined;

  constructor(injection: Injection) {
    this.#injection = injection;
  }

  /** The return stack, made for the first function that needs it. @throws {AttachError} ATTACH_RETURN_REFUSED */
  stackFor({ name }: ResolvedFunction): ReturnStack {
    this.#stack ??= new ReturnStack(this.#injection, name);
    return this.#stack;
  }

  /** Looked for again whenever a library came or went. */
  unwinders(): readonly ResolvedFunction[] {
    const { process } = this.#injection;
    const modules = process
      .modules()
      .map(({ path, start }) => `${path} ${start}`)
      .join();
    if (this.#known?.modules !== modules) this.#known = { modules, unwinders: findUnwinders(process) };
    return this.#known.unwinders;
  }
}
