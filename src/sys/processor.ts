/** What the processor can do. Source: Linux /proc/cpuinfo, the names of arch/x86/include/asm/cpufeatures.h. */
import { readFileSync } from 'node:fs';

/** The flags that every processor of this machine has, as /proc/cpuinfo names them: 'rdpid'. */
export function processorFlags(): ReadonlySet<string> {
  const lines = readFileSync('/proc/cpuinfo', 'latin1').match(/^flags\s*:.*$/gm) ?? [];
  const [first = [], ...rest] = lines.map((line) =>
    line
      .slice(line.indexOf(':') + 1)
      .trim()
      .split(/\s+/),
  );
  return new Set(first.filter((flag) => rest.every((flags) => flags.includes(flag))));
}
