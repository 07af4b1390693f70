/** "Did you mean": names close to one that was not found. */

/** Comparing costs with the square of the length, and no one mistypes a longer name by two letters. */
const MAX_LENGTH = 128;

/**
 * The names that differ from `wanted` least, best first; none that differs in more than a third of its letters, unless one
 * contains the other.
 */
export function suggest(wanted: string, names: Iterable<string>, count = 3): readonly string[] {
  const limit = Math.max(1, Math.min(3, Math.floor(wanted.length / 3)));
  const best = new Map<string, number>();
  for (const name of names) {
    if (name === wanted || name.length > MAX_LENGTH || best.has(name)) continue;
    const distance = similarity(wanted, name, limit);
    if (distance !== undefined) best.set(name, distance);
  }
  return [...best]
    .sort(([a, x], [b, y]) => x - y || a.length - b.length || (a < b ? -1 : 1))
    .slice(0, count)
    .map(([name]) => name);
}

/** `did you mean 'a' or 'b'?`, undefined if there is nothing to suggest. */
export function didYouMean(names: readonly string[]): string | undefined {
  if (names.length === 0) return undefined;
  return `did you mean ${names.map((name) => `'${name}'`).join(' or ')}?`;
}

function similarity(wanted: string, name: string, limit: number): number | undefined {
  if (Math.abs(wanted.length - name.length) <= limit) {
    const distance = editDistance(wanted.toLowerCase(), name.toLowerCase());
    if (distance <= limit) return distance;
  }
  return wanted.length >= 3 && name.includes(wanted) ? limit + 1 : undefined;
}

/** Letters to insert, delete, replace or swap with a neighbour (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let beforeLast: readonly number[] = [];
  let last: readonly number[] = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, beforeLast[j - 2]! + 1);
      row.push(cost);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length]!;
}
