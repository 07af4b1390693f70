/*
 * Starts a program as containers do: contained NAMESPACES ROOT PROGRAM ARGUMENTS...
 *
 * NAMESPACES are letters: u(ser, where it is root), p(id), m(ount), n(et), or '-' for none. ROOT becomes its root, read-only and without
 * /proc, by pivot_root where it has a mount namespace, by chroot else; '-' for none. The program is our child and ends with us.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY);
  int failed = fd < 0 || write(fd, text, strlen(text)) < 0;
  close(fd);
  return failed;
}

static int enter_root(const char *root, int has_mounts) {
  if (!has_mounts) return chroot(root) || chdir("/");
  return mount(0, "/", 0, MS_REC | MS_PRIVATE, 0) || mount(root, root, 0, MS_BIND | MS_REC, 0) || chdir(root) ||
         syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) ||
         mount(0, "/", 0, MS_REMOUNT | MS_BIND | MS_RDONLY, 0) || chdir("/");
}

int main(int argc, char **argv) {
  if (argc < 4) return 1;
  const char *spaces = argv[1];
  int user = !!strchr(spaces, 'u'), pid = !!strchr(spaces, 'p'), mounts = !!strchr(spaces, 'm'), net = !!strchr(spaces, 'n');
  if (unshare((user ? CLONE_NEWUSER : 0) | (pid ? CLONE_NEWPID : 0) | (mounts ? CLONE_NEWNS : 0) | (net ? CLONE_NEWNET : 0)))
    return 2;
  if (user && (write_file("/proc/self/setgroups", "deny") || write_file("/proc/self/uid_map", "0 0 1") ||
               write_file("/proc/self/gid_map", "0 0 1")))
    return 3;
  pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (strcmp(argv[2], "-") && enter_root(argv[2], mounts)) {
      perror("root");
      _exit(4);
    }
    execv(argv[3], argv + 3);
    perror(argv[3]);
    _exit(5);
  }
  close(3);
  int status;
  waitpid(child, &status, 0);
  return WEXITSTATUS(status);
}
