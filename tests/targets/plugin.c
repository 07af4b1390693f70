/*
 * A library that is loaded on demand: plugins.c. Its constructor calls `plugin_work` CALLS times, so does every `plugin_run`;
 * PADDING makes one that lies elsewhere in its file.
 */
#ifndef CALLS
#define CALLS 3
#endif
#ifdef PADDING
__attribute__((used)) static const char padding[PADDING] = {1};
__asm__(".text\n .fill 4096, 1, 0xcc\n");
#endif

__attribute__((noinline, visibility("default"))) long plugin_work(long a)
{
	__asm__ volatile("" : "+r"(a));
	return a * 2 + 1;
}

__attribute__((visibility("default"))) long plugin_run(long a)
{
	long sum = 0;
	for (int i = 0; i < CALLS; i++)
		sum += plugin_work(a + i);
	return sum;
}

static volatile long started;

__attribute__((constructor)) static void start(void)
{
	started = plugin_run(1);
}
