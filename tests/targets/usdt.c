/*
 * Static probes, as the macros of <sys/sdt.h> make them: usdt. For each step of `go` they are passed a thousand times.
 */
#include "target.h"
#include <stdint.h>

volatile uint64_t go, done, sum;
unsigned short zoo_fed_semaphore __attribute__((section(".probes")));

/* A nop, and a note about it: address, base, semaphore, provider, name, arguments. */
#define PROBE(provider, name, args, semaphore)                                                                 \
	"990: nop\n"                                                                                           \
	".pushsection .note.stapsdt,\"\",\"note\"\n"                                                           \
	".balign 4\n .4byte 992f - 991f, 994f - 993f, 3\n"                                                     \
	"991: .asciz \"stapsdt\"\n"                                                                            \
	"992: .balign 4\n"                                                                                     \
	"993: .8byte 990b, _.stapsdt.base, " semaphore "\n"                                                    \
	".asciz \"" provider "\"\n .asciz \"" name "\"\n .asciz \"" args "\"\n"                                \
	"994: .balign 4\n.popsection\n"                                                                        \
	".ifndef _.stapsdt.base\n"                                                                             \
	".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"                                \
	".weak _.stapsdt.base\n .hidden _.stapsdt.base\n"                                                      \
	"_.stapsdt.base: .space 1\n .size _.stapsdt.base, 1\n.popsection\n.endif\n"

__attribute__((noipa)) long feed(int animal, long food)
{
	volatile short weight = -3;
	int equal;
	/* All flags and the red zone are in use around the first of the two places. */
	__asm__ volatile("mov %w3, -40(%%rsp)\n cmp %1, %1\n"
			 PROBE("zoo", "fed", "-4@%%edi 8@%%rsi -2@-40(%%rsp) 4@$7", "zoo_fed_semaphore")
			 : "=@ccz"(equal)
			 : "D"(animal), "S"(food), "r"(weight)
			 : "memory", "cc");
	if (food & 1)
		__asm__ volatile(PROBE("zoo", "fed", "-4@%%edi 8@%%rsi -2@$-3 4@$7", "zoo_fed_semaphore") : : "D"(animal), "S"(food));
	__asm__ volatile(PROBE("zoo", "idle", "", "0"));
	return equal ? animal + food + weight : 1000000;
}

volatile uint32_t table[2] = {5, 11};
static volatile int64_t row;
static volatile int32_t cells[6] = {100, -1, -20, -300, 4000, 7};

/* Arguments of every kind that the registers of pt_regs lead to. */
__attribute__((noipa)) void weigh(long n)
{
	register long r9 __asm__("r9") = n * n;
	int below = -3;

	row = n | -n << 48;
	__asm__ volatile("mov %k0, -40(%%rsp)\n"
			 PROBE("zoo", "dozen",
			       "-4@%%eax 8@%%rbx 1@%%cl -1@%%ch 2@%%dx -8@$-9 4@$7 8@(%%rsi) -2@6(%%rsi) 4@table+4(%%rip) 8@%%r9 "
			       "-4@-40(%%rsp)",
			       "zoo_fed_semaphore")
			 :
			 : "r"(below), "a"((uint32_t)-n), "b"(n << 33), "c"(0x8000 | (n & 0x7f)), "d"(0xffff0000 | n), "S"(&row), "r"(r9)
			 : "memory", "cc");
	__asm__ volatile(PROBE("zoo", "indexed", "-4@4(%%rsi,%%rax,4) 8@(%%rsi,%%rbx)", "0")
			 :
			 : "a"(n & 3), "b"(8 * (n & 1)), "S"(cells)
			 : "memory");
}

/* What no field of pt_regs leads to. */
__attribute__((noipa)) void measure(void)
{
	__asm__ volatile(PROBE("zoo", "measured", "8@%%rdi 8@%%xmm0", "0") : :);
}

int main(void)
{
	ready();
	for (;; usleep(100)) {
		if (done == go)
			continue;
		long total = 0;
		for (int i = 0; i < 1000; i++)
			total += feed(-i, i), weigh(i);
		measure();
		sum = total;
		done = go;
	}
}
