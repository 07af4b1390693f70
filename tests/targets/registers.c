/*
 * Everything that a processor holds, set by a seeded generator before a thousand calls of a function and compared behind
 * them: registers MODE
 *   hit      `hit`, which does nothing to it
 *   flagged  `flagged`, which sets the flags in front of a nop and reads them behind it
 *   leaf     `leaf`, which keeps 128 bytes below the stack pointer across a nop
 * Work goes on while `go` is 1; `made` counts calls, `wrong` what came out wrong, `compared` the bytes of state.
 */
#define _GNU_SOURCE
#include "target.h"
#include <asm/prctl.h>
#include <cpuid.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define BATCH 1000

volatile uint64_t go, made, wrong, working, busy, compared;

/* Offsets are known to `torture`. */
struct state {
	uint64_t ax, cx, dx, bx, bp, si, di, r8, r9, r10, r11, r12, r13, r14, r15, pad;
	uint64_t masks[8];
	uint64_t floats[8];
	uint8_t vectors[32][64];
};
struct area {
	_Alignas(64) uint8_t bytes[8192];
};

_Static_assert(__builtin_offsetof(struct state, masks) == 128, "known to torture");
_Static_assert(__builtin_offsetof(struct state, floats) == 192, "known to torture");
_Static_assert(__builtin_offsetof(struct state, vectors) == 256, "known to torture");

struct state in, out;
struct area before, after;
/* 1: xmm, 2: ymm, 3: zmm and masks. */
uint64_t level;
uint64_t left, components;
uint32_t mxcsr, default_mxcsr = 0x1f80;
uint16_t control_word;
void (*callee)(void);

long hit(long a, long b);
long flagged(long flags);
long leaf(long seed, long count);
void torture(void);

__asm__(".text\n .p2align 6\n .globl hit\n .type hit, @function\n"
	"hit: lea (%rdi,%rsi), %rax\n nopl 0(%rax)\n ret\n .size hit, . - hit\n"
	".p2align 4, 0xcc\n .globl flagged\n .type flagged, @function\n"
	"flagged: push %rdi\n popfq\n nopl 0(%rax,%rax,1)\n pushfq\n pop %rax\n cld\n ret\n .size flagged, . - flagged\n"
	".p2align 4, 0xcc\n .globl leaf\n .type leaf, @function\n"
	"leaf: xor %eax, %eax\n"
	"1:\n .set n, 1\n .rept 16\n lea n(%rdi,%rsi), %rdx\n mov %rdx, -8*n(%rsp)\n .set n, n + 1\n .endr\n"
	" nopl 0(%rax,%rax,1)\n"
	" .set n, 1\n .rept 16\n lea n(%rdi,%rsi), %rdx\n xor -8*n(%rsp), %rdx\n or %rdx, %rax\n .set n, n + 1\n .endr\n"
	" dec %rsi\n jnz 1b\n ret\n .size leaf, . - leaf\n"

	".globl torture\n .type torture, @function\n"
	"torture: push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n sub $8, %rsp\n"
	" lea in(%rip), %rcx\n"
	" .set n, 0\n .rept 8\n fldl 192+8*n(%rcx)\n .set n, n + 1\n .endr\n"
	" fldcw control_word(%rip)\n ldmxcsr mxcsr(%rip)\n"
	" cmpq $2, level(%rip)\n ja 3f\n je 2f\n"
	" .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n movdqu 256+64*\\n(%rcx), %xmm\\n\n .endr\n jmp 4f\n"
	"2: .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n vmovdqu 256+64*\\n(%rcx), %ymm\\n\n .endr\n jmp 4f\n"
	"3: .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
	" vmovdqu64 256+64*\\n(%rcx), %zmm\\n\n .endr\n"
	" .irp n, 0,1,2,3,4,5,6,7\n kmovq 128+8*\\n(%rcx), %k\\n\n .endr\n"
	"4: mov components(%rip), %eax\n xor %edx, %edx\n xsave before(%rip)\n"
	" mov 0(%rcx), %rax\n mov 16(%rcx), %rdx\n mov 24(%rcx), %rbx\n mov 32(%rcx), %rbp\n"
	" mov 40(%rcx), %rsi\n mov 48(%rcx), %rdi\n mov 56(%rcx), %r8\n mov 64(%rcx), %r9\n mov 72(%rcx), %r10\n"
	" mov 80(%rcx), %r11\n mov 88(%rcx), %r12\n mov 96(%rcx), %r13\n mov 104(%rcx), %r14\n mov 112(%rcx), %r15\n"
	" mov 8(%rcx), %rcx\n"
	"5: call *callee(%rip)\n decq left(%rip)\n jnz 5b\n"
	" mov %rcx, out+8(%rip)\n lea out(%rip), %rcx\n"
	" mov %rax, 0(%rcx)\n mov %rdx, 16(%rcx)\n mov %rbx, 24(%rcx)\n mov %rbp, 32(%rcx)\n"
	" mov %rsi, 40(%rcx)\n mov %rdi, 48(%rcx)\n mov %r8, 56(%rcx)\n mov %r9, 64(%rcx)\n mov %r10, 72(%rcx)\n"
	" mov %r11, 80(%rcx)\n mov %r12, 88(%rcx)\n mov %r13, 96(%rcx)\n mov %r14, 104(%rcx)\n mov %r15, 112(%rcx)\n"
	" mov components(%rip), %eax\n xor %edx, %edx\n xsave after(%rip)\n"
	" fninit\n ldmxcsr default_mxcsr(%rip)\n"
	" cmpq $2, level(%rip)\n jb 6f\n vzeroupper\n"
	"6: add $8, %rsp\n pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n"
	".size torture, . - torture\n");

static uint64_t next(void)
{
	static uint64_t state = 1;
	uint64_t z = (state += 0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* Where a part of the state lies in what xsave writes, by the processor's word; size 0 if it has none. */
static void compare(uint32_t component)
{
	uint32_t size, offset, c, d;
	__cpuid_count(0xd, component, size, offset, c, d);
	if (!(components >> component & 1) || offset + size > sizeof(before))
		return;
	wrong += memcmp(before.bytes + offset, after.bytes + offset, size) != 0;
	compared += size;
}

static uint64_t base(int which)
{
	uint64_t address = 0;
	syscall(SYS_arch_prctl, which, &address);
	return address;
}

static void detect(void)
{
	uint32_t a, b, c, d, low = 1, high;
	__cpuid(1, a, b, c, d);
	level = 1;
	if (c >> 27 & 1)
		__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	components = low & 0xe7;
	if ((low & 6) == 6 && c >> 28 & 1)
		level = 2;
	if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && (low & 0xe6) == 0xe6 && (b >> 30 & 1))
		level = 3;
}

static void batch(int is_flagged)
{
	for (unsigned long n = 0; n < sizeof(in) / 8; n++)
		((uint64_t *)&in)[n] = next();
	for (int n = 0; n < 8; n++)
		((double *)in.floats)[n] = (double)(int64_t)next();
	/* All exceptions masked; rounding and flushing as they come. */
	mxcsr = 0x1f80 | (next() & 0xe040);
	control_word = 0x7f | (next() & 0xf00);
	if (is_flagged)
		in.di = (in.di & 0xcd5) | 0x202;
	uint64_t fs = base(ARCH_GET_FS), gs = base(ARCH_GET_GS);
	left = BATCH;
	memset(&before, 0, sizeof(before));
	memset(&after, 0, sizeof(after));
	torture();
	wrong += fs != base(ARCH_GET_FS) || gs != base(ARCH_GET_GS);
	wrong += out.ax != (is_flagged ? in.di : in.di + in.si);
	wrong += memcmp(&in.cx, &out.cx, __builtin_offsetof(struct state, pad) - 8) != 0;
	/* x87 control, status and tags; mxcsr, x87 registers, xmm registers. Where the last x87 instruction was is not kept. */
	wrong += memcmp(before.bytes, after.bytes, 5) != 0 || memcmp(before.bytes + 24, after.bytes + 24, 416 - 24) != 0;
	compared += 15 * 8 + 5 + 416 - 24;
	for (uint32_t component = 2; component < 8; component++)
		compare(component);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "hit";
	static uint64_t anywhere;
	int is_flagged = !strcmp(mode, "flagged");
	callee = is_flagged ? (void (*)(void))flagged : (void (*)(void))hit;
	syscall(SYS_arch_prctl, ARCH_SET_GS, &anywhere);
	detect();
	ready();
	for (;;) {
		for (busy = 0; go != 1;)
			usleep(100);
		busy = 1;
		while (go == 1) {
			if (!strcmp(mode, "leaf"))
				wrong += leaf((long)next(), BATCH) != 0;
			else
				batch(is_flagged);
			made += BATCH;
		}
	}
}
