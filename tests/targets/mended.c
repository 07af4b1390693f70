/*
 * Writes what it reads, a byte at a time. It waits for each in the handler of a fault, which mends what `touch` faults for and goes
 * back to it.
 */
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SIZE = 4096 };

static char byte;
static char *page;

__attribute__((noipa)) int touch(const char *at)
{
	return *at;
}

static void mend(int signal)
{
	(void)signal;
	if (read(0, &byte, 1) != 1)
		_exit(0);
	mprotect(page, SIZE, PROT_READ);
}

int main(void)
{
	page = mmap(0, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	signal(SIGSEGV, mend);
	for (;;) {
		mprotect(page, SIZE, PROT_NONE);
		if (touch(page) != 0 || write(1, &byte, 1) != 1)
			return 1;
	}
}
