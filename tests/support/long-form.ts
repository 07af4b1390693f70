/** How often tests of load repeat themselves: moderately, or as often as a fault asks for where REMORA_LONG is set. */

/** `usual`, or `long` with REMORA_LONG=1. */
export function repetitions(usual: number, long: number): number {
  return process.env.REMORA_LONG === '1' ? long : usual;
}
