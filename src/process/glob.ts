/** Patterns of names, as libbpf and bpftrace read them: `*` stands for any characters, `?` for one. */

/** Tells which names a pattern matches, as a whole. */
export function globMatcher(pattern: string): (name: string) => boolean {
  const expression = pattern
    .replace(/[^\w*?]/g, '\\$&')
    .replace(/\*+/g, '.*')
    .replaceAll('?', '.');
  const wanted = new RegExp(`^${expression}$`, 's');
  return (name) => wanted.test(name);
}

/** True if a text has anything that stands for other characters. */
export function isGlob(text: string): boolean {
  return /[*?]/.test(text);
}
