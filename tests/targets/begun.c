/*
 * Calls `work` before main and in it, says its id, waits for the end of its input, calls again and exits with 7, having said so. If
 * anything is not as it should be it says that instead.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <unistd.h>

extern char _start[];

static int wrong;

__attribute__((noipa)) int work(int n)
{
	return n * 2 + 1;
}

static void work_some(void)
{
	for (int n = 0; n < 3; n++)
		wrong += work(n) != n * 2 + 1;
}

__attribute__((constructor)) static void before(void)
{
	work_some();
}

int main(void)
{
	char byte;
	ssize_t got;

	wrong += errno != 0 || getauxval(AT_ENTRY) != (unsigned long)_start;
	work_some();
	printf("began as %d\n", getpid());
	fflush(stdout);
	while ((got = read(0, &byte, 1)) > 0)
		;
	wrong += got != 0;
	work_some();
	puts(wrong ? "it was not in order" : "all was in order");
	return wrong ? 1 : 7;
}
