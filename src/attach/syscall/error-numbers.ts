/** The names of error numbers on x86-64. Source: Linux include/uapi/asm-generic/errno-base.h, errno.h; include/linux/errno.h. */

/** In the order of their numbers, by the first number of each run. */
const NAMES: Readonly<Record<number, string>> = {
  1: `
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST
    EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE
    EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP
  `,
  42: `
    ENOMSG EIDRM ECHRNG EL2NSYNC EL3HLT EL3RST ELNRNG EUNATCH ENOCSI EL2HLT EBADE EBADR EXFULL ENOANO EBADRQC EBADSLT
  `,
  59: `
    EBFONT ENOSTR ENODATA ETIME ENOSR ENONET ENOPKG EREMOTE ENOLINK EADV ESRMNT ECOMM EPROTO EMULTIHOP EDOTDOT EBADMSG
    EOVERFLOW ENOTUNIQ EBADFD EREMCHG ELIBACC ELIBBAD ELIBSCN ELIBMAX ELIBEXEC EILSEQ ERESTART ESTRPIPE EUSERS ENOTSOCK
    EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT
    EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN
    ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EUCLEAN ENOTNAM ENAVAIL
    EISNAM EREMOTEIO EDQUOT ENOMEDIUM EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED EOWNERDEAD
    ENOTRECOVERABLE ERFKILL EHWPOISON
  `,
  512: `
    ERESTARTSYS ERESTARTNOINTR ERESTARTNOHAND ENOIOCTLCMD ERESTART_RESTARTBLOCK EPROBE_DEFER EOPENSTALE ENOPARAM
  `,
};

/** Second names. */
const ALIASES: Readonly<Record<string, string>> = {
  EWOULDBLOCK: 'EAGAIN',
  ENOTSUP: 'EOPNOTSUPP',
  EDEADLOCK: 'EDEADLK',
};

/** Numbers by name, without the aliases. */
export const ERROR_NUMBERS: ReadonlyMap<string, number> = new Map(
  Object.entries(NAMES).flatMap(([first, names]) =>
    names
      .trim()
      .split(/\s+/)
      .map((name, n) => [name, Number(first) + n] as const),
  ),
);

/** The highest number that a system call may give as an error. Linux include/linux/err.h, MAX_ERRNO. */
export const LAST_ERROR = 4095;

/** The number of an error, by its name in upper or lower case, or as decimal; undefined if it is none. */
export function errorNumber(text: string): number | undefined {
  const name = text.toUpperCase();
  const number = /^\d+$/.test(text) ? Number(text) : ERROR_NUMBERS.get(ALIASES[name] ?? name);
  return number !== undefined && number >= 1 && number <= LAST_ERROR ? number : undefined;
}
