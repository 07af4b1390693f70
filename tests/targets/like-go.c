/* A program that carries what only the Go linker writes. Usage: like-go */
#include <unistd.h>

#include "target.h"

__attribute__((section(".go.buildinfo"), used)) static const char build_info[16] = "\xff Go buildinf:";

__attribute__((noipa)) long called(long a)
{
	return a + 1;
}

int main(void)
{
	ready();
	for (long a = 0;; a = called(a))
		usleep(1000);
}
