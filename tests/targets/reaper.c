/*
 * Runs a command and says so on standard error: `runs PID`. It is parent to all that loses its own parent below it, and says how each
 * of its children ended: `PID exit CODE` or `PID signal NUMBER`. Ends when all have.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int status;
	pid_t pid;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (argc < 2)
		return 2;
	pid = fork();
	if (pid == 0) {
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	dprintf(2, "runs %d\n", pid);
	close(0);
	close(1);
	while ((pid = wait(&status)) > 0 || errno == EINTR)
		if (pid > 0)
			dprintf(2, "%d %s %d\n", pid, WIFSIGNALED(status) ? "signal" : "exit",
				WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return 0;
}
