/** NUL-terminated text inside larger bytes: string tables, fixed-size char arrays. */

/**
 * The text that begins at `at`, without its NUL; undefined if `at` is outside or no NUL follows within `limit` bytes.
 * Bytes that are not UTF-8 become U+FFFD.
 */
export function cString(bytes: Uint8Array, at: number, limit = 65536): string | undefined {
  if (at < 0 || at >= bytes.length) return undefined;
  const window = bytes.subarray(at, at + limit);
  const end = window.indexOf(0);
  return end < 0 ? undefined : utf8(window.subarray(0, end));
}

/** Decodes UTF-8; what is not UTF-8 becomes U+FFFD. */
export function utf8(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}
