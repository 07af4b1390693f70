/** What commands read: files named on the command line, and standard input. */
import { readFileSync } from 'node:fs';
import { CliError } from './errors.ts';

/** The whole file. @throws {CliError} CLI_BAD_FILE */
export function readFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new CliError('CLI_BAD_FILE', `cannot read ${path}: ${(error as NodeJS.ErrnoException).code}`, {
      cause: error,
    });
  }
}

/** Everything on standard input, as text. */
export async function readStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
