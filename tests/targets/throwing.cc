/* C++ exceptions through probed functions, in 8 threads: see returning.h. */
#include <pthread.h>
#include <stdexcept>

extern "C" {
#include "returning.h"
}

struct Guard {
	static __thread long alive;
	Guard() { alive++; }
	~Guard() { alive--; }
};
__thread long Guard::alive;

extern "C" __attribute__((noipa)) long probed_throwing(long n, long limit)
{
	count_call();
	Guard guard;
	if (n == limit)
		throw std::runtime_error("deep");
	return n > 6 ? n : 1 + probed_throwing(n + 1, limit);
}

extern "C" __attribute__((noipa)) long probed_catching(long limit)
{
	count_call();
	try {
		return probed_throwing(0, limit);
	} catch (const std::logic_error &) {
		return -2;
	} catch (const std::runtime_error &) {
		return -1;
	}
}

extern "C" __attribute__((noipa)) long probed_rethrowing(long limit)
{
	count_call();
	Guard guard;
	try {
		return probed_throwing(0, limit);
	} catch (...) {
		probed_catching(100);
		throw;
	}
}

static void *thrower(void *)
{
	for (long i = 0; i < 300; i++) {
		check(probed_catching(i % 7) == -1);
		check(probed_catching(100) == 14);
		try {
			check(probed_rethrowing(i % 3) == -3);
		} catch (const std::exception &) {
			check(Guard::alive == 0);
		}
	}
	return 0;
}

static void threads(void)
{
	pthread_t threads[8];
	for (auto &thread : threads)
		pthread_create(&thread, 0, thrower, 0);
	for (auto &thread : threads)
		pthread_join(thread, 0);
}

int main(int argc, char **argv)
{
	static const scenario scenarios[] = {{"threads", threads}, {0, 0}};
	return run_scenarios(argc, argv, scenarios);
}
