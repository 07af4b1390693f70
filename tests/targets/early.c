/*
 * Calls `work` before main and in it; with LIBRARY, a library whose constructor calls `library_work`. Usage: early [CODE]
 * Constructors call three times, main twice, then it exits with CODE.
 */
#include <stdlib.h>

#ifdef LIBRARY
__attribute__((noipa)) int library_work(int n)
{
	return n * 3 + 1;
}

__attribute__((constructor)) static void before(void)
{
	for (int n = 0; n < 4; n++)
		if (library_work(n) != n * 3 + 1)
			abort();
}
#else
__attribute__((noipa)) int work(int n)
{
	return n * 2 + 1;
}

#ifdef WITH_LIBRARY
int library_work(int n);
#endif

__attribute__((constructor)) static void before(void)
{
	for (int n = 0; n < 3; n++)
		if (work(n) != n * 2 + 1)
			abort();
}

int main(int argc, char **argv)
{
	for (int n = 0; n < 2; n++)
		if (work(n) != n * 2 + 1)
			abort();
#ifdef WITH_LIBRARY
	if (library_work(5) != 16)
		abort();
#endif
	return argc > 1 ? atoi(argv[1]) : 0;
}
#endif
