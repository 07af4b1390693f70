/*
 * Functions of every kind of first instruction, called with all registers, flags, vector registers and the red zone set
 * by a seeded generator; what they leave behind goes into a hash. Usage: zoo CONTROL-FILE
 *
 * The control file is mapped by the test too: for each step of `go` the function numbered `index` is called `count` times
 * with inputs from `seed`, and `hash` is what came out; flags count as far as `flags` says.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "target.h"

struct control {
	_Atomic uint64_t go, done;
	uint64_t index, count, seed, flags, hash;
};

/* Offsets are known to `invoke`. */
struct state {
	uint64_t ax, cx, dx, bx, bp, si, di, r8, r9, r10, r11, r12, r13, r14, r15, flags;
	uint8_t vectors[16][32];
	uint64_t red[16];
};

_Static_assert(__builtin_offsetof(struct state, vectors) == 128, "known to invoke");
_Static_assert(__builtin_offsetof(struct state, red) == 640, "known to invoke");

void (*callee)(void);
uint64_t words[64];
void invoke(struct state *state);

__asm__(".text\n"
	".globl invoke\n .type invoke, @function\n"
	"invoke:\n"
	" push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n push %rdi\n"
	/* What lies below the stack pointer of the callee, from its red zone on. */
	" lea 640(%rdi), %rsi\n lea -136(%rsp), %rax\n mov $16, %ecx\n"
	"1: mov (%rsi), %rdx\n mov %rdx, (%rax)\n add $8, %rsi\n add $8, %rax\n dec %ecx\n jnz 1b\n"
	" .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n vmovdqu 128+32*\\n(%rdi), %ymm\\n\n .endr\n"
	" mov 120(%rdi), %rax\n push %rax\n popf\n"
	" mov 0(%rdi), %rax\n mov 8(%rdi), %rcx\n mov 16(%rdi), %rdx\n mov 24(%rdi), %rbx\n mov 32(%rdi), %rbp\n"
	" mov 40(%rdi), %rsi\n mov 56(%rdi), %r8\n mov 64(%rdi), %r9\n mov 72(%rdi), %r10\n mov 80(%rdi), %r11\n"
	" mov 88(%rdi), %r12\n mov 96(%rdi), %r13\n mov 104(%rdi), %r14\n mov 112(%rdi), %r15\n mov 48(%rdi), %rdi\n"
	" call *callee(%rip)\n"
	" xchg %rdi, (%rsp)\n"
	" mov %rax, 0(%rdi)\n mov %rcx, 8(%rdi)\n mov %rdx, 16(%rdi)\n mov %rbx, 24(%rdi)\n mov %rbp, 32(%rdi)\n"
	" mov %rsi, 40(%rdi)\n mov %r8, 56(%rdi)\n mov %r9, 64(%rdi)\n mov %r10, 72(%rdi)\n mov %r11, 80(%rdi)\n"
	" mov %r12, 88(%rdi)\n mov %r13, 96(%rdi)\n mov %r14, 104(%rdi)\n mov %r15, 112(%rdi)\n"
	" pop %rax\n mov %rax, 48(%rdi)\n"
	" pushf\n pop %rax\n mov %rax, 120(%rdi)\n"
	" .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n vmovdqu %ymm\\n, 128+32*\\n(%rdi)\n .endr\n"
	" vzeroupper\n"
	" pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n"
	".size invoke, . - invoke\n");

/* Padding lies between functions as compilers leave it. */
#define ZOO(name, text)                                                                                              \
	__asm__(".text\n .globl zoo_" name "\n .type zoo_" name ", @function\nzoo_" name ":\n" text "\n.size zoo_" name  \
		", . - zoo_" name "\n .balign 16, 0xcc\n");
#define ANIMALS                                                                                                      \
	ANIMAL(lea_rip, "lea words(%rip), %rax\n mov (%rax), %rcx\n add %rdi, %rcx\n ret")                           \
	ANIMAL(mov_rip, "mov words+8(%rip), %rax\n xor %rsi, %rax\n ret")                                            \
	ANIMAL(cmp_rip, "cmp %rdx, words+16(%rip)\n seta %al\n sbb %rcx, %rcx\n ret")                                \
	ANIMAL(store_rip, "mov %rsi, words+24(%rip)\n movq $7, words+32(%rip)\n mov words+24(%rip), %rax\n ret")     \
	ANIMAL(jrcxz, "and $1, %ecx\n jrcxz 1f\n inc %rax\n inc %rax\n 1: ret")                                      \
	ANIMAL(jrcxz_first, "jrcxz 1f\n mov %rdi, %rax\n ret\n 1: mov %rsi, %rax\n ret")                             \
	ANIMAL(loop, "mov $5, %ecx\n 1: add %rdi, %rax\n loop 1b\n ret")                                             \
	ANIMAL(loop_first, "1: and $7, %ecx\n inc %rax\n nop\n loop 1b\n ret")                            \
	ANIMAL(rep, "lea words(%rip), %rsi\n lea words+256(%rip), %rdi\n mov $8, %ecx\n rep movsq\n ret")            \
	ANIMAL(endbr, "endbr64\n push %rbp\n mov %rsp, %rbp\n lea (%rdi,%rsi,4), %rax\n pop %rbp\n ret")             \
	ANIMAL(nops, "nopw 0(%rax,%rax,1)\n nopl (%rax)\n mov %rdx, %rax\n ret")                                     \
	ANIMAL(lock, "lock incq words+40(%rip)\n mov $1, %eax\n lock xadd %rax, words+48(%rip)\n ret")               \
	ANIMAL(skip_lock, "test $1, %dil\n je 1f\n lock\n 1: addq $3, words+48(%rip)\n mov words+48(%rip), %rax\n ret") \
	ANIMAL(vex, "vpxor %ymm1, %ymm2, %ymm3\n vpaddq words(%rip), %ymm3, %ymm4\n ret")                            \
	ANIMAL(sse, "movdqu words(%rip), %xmm5\n paddq %xmm5, %xmm6\n pshufd $0x1b, %xmm6, %xmm7\n ret")             \
	ANIMAL(hot_patch, "mov %edi, %edi\n push %rbp\n mov %rsp, %rbp\n mov %rdi, %rax\n pop %rbp\n ret")           \
	ANIMAL(flags, "cmp %rsi, %rdi\n mov %rdx, %rax\n mov %rcx, %r8\n mov %r9, %r10\n cmovg %rcx, %rax\n"          \
		      " seto %dl\n adc $0, %r8\n ret")                                                               \
	ANIMAL(flags_all, "add %rsi, %rdi\n mov $1, %eax\n mov $2, %ecx\n lea 3(%rax), %edx\n nopl 0(%rax,%rax,1)\n ret") \
	ANIMAL(carry, "adc %rsi, %rdi\n adc %rdx, %rax\n rcl $1, %rcx\n sbb %r8, %r9\n cmc\n ret")                   \
	ANIMAL(red_zone, "mov %rdi, -8(%rsp)\n mov %rsi, -128(%rsp)\n mov %rdx, -64(%rsp)\n mov %r8, -32(%rsp)\n mov -8(%rsp), %rax\n" \
			 " add -128(%rsp), %rax\n xor -64(%rsp), %rax\n xor -32(%rsp), %rax\n ret")                  \
	ANIMAL(red_zone_call, "mov %rdi, -8(%rsp)\n sub $24, %rsp\n call zoo_flags\n add $24, %rsp\n"                \
			      " mov %rdi, -16(%rsp)\n mov -16(%rsp), %rbx\n ret")                                    \
	ANIMAL(call_first, "call zoo_lea_rip\n add %rdi, %rax\n ret")                                                \
	ANIMAL(call_register, "lea zoo_sse(%rip), %rax\n call *%rax\n mov %rdi, %rax\n mov %rsi, %rbx\n ret")        \
	ANIMAL(call_slot, "call *slot(%rip)\n mov %rsi, %rbx\n ret")                                                 \
	ANIMAL(call_stack, "push slot(%rip)\n nop\n call *(%rsp)\n lea 8(%rsp), %rsp\n ret")                         \
	ANIMAL(tail_jump, "jmp zoo_mov_rip")                                                                         \
	ANIMAL(tail_short, "jmp 1f\n .skip 40, 0xcc\n 1: mov %rdx, %rax\n ret")                                      \
	ANIMAL(tail_slot, "jmp *slot(%rip)")                                                                         \
	ANIMAL(branch, "test %rdi, %rdi\n js 1f\n mov %rsi, %rax\n ret\n 1: mov %rdx, %rax\n ret")                   \
	ANIMAL(far_branch, "test %rdi, %rdi\n js 1f\n mov %rsi, %rax\n ret\n .skip 200, 0xcc\n 1: mov %rdx, %rax\n ret") \
	ANIMAL(loop_to_entry, "1: dec %rdi\n and $7, %edi\n jnz 1b\n mov %edi, %eax\n ret")                          \
	ANIMAL(loop_to_second, "push %rbp\n 1: dec %rdi\n and $7, %edi\n jnz 1b\n pop %rbp\n ret")                   \
	ANIMAL(loop_to_third, "mov %edi, %eax\n 1: dec %rdi\n and $7, %edi\n jnz 1b\n ret\n .size zoo_loop_to_third, . - zoo_loop_to_third\n .skip 16, 0xcc\n .globl zoo_behind\n .type zoo_behind, @function\nzoo_behind: ret") \
	ANIMAL(table, "mov %edi, %eax\n and $3, %eax\n lea 9f(%rip), %rdx\n movslq (%rdx,%rax,4), %rax\n add %rdx, %rax\n" \
		      " jmp *%rax\n 1: inc %rbx\n 2: inc %rcx\n 3: inc %rsi\n 4: inc %r8\n xor %edx, %edx\n xor %eax, %eax\n ret\n" \
		      " .section .rodata\n .align 4\n 9: .long 1b - 9b, 2b - 9b, 3b - 9b, 4b - 9b\n .text")          \
	ANIMAL(computed, "mov %edi, %eax\n and $1, %eax\n lea 9f(%rip), %rdx\n jmp *(%rdx,%rax,8)\n"                 \
			 " 1: inc %rbx\n 2: inc %rcx\n inc %rsi\n xor %edx, %edx\n ret\n"                            \
			 " .data\n .align 8\n 9: .quad 1b, 2b\n .text")                                              \
	ANIMAL(one_byte, "ret")                                                                                      \
	ANIMAL(two_bytes, "nop\n ret")                                                                               \
	ANIMAL(three_bytes, "xor %eax, %eax\n ret")                                                                  \
	ANIMAL(padded, "xor %eax, %eax\n ret\n .size zoo_padded, . - zoo_padded\n .balign 16, 0xcc\n .skip 16, 0xcc\n" \
		       " .globl zoo_after_padded\n .type zoo_after_padded, @function\n zoo_after_padded: mov %edi, %eax\n ret")

void *slot;
#define ANIMAL(name, text) ZOO(#name, text) extern void zoo_##name(void);
ANIMALS
#undef ANIMAL
#define ANIMAL(name, text) zoo_##name,
static void (*const animals[])(void) = {ANIMALS};

static uint64_t random_state;

static uint64_t next(void)
{
	uint64_t z = (random_state += 0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static uint64_t hash(uint64_t seed, const void *bytes, unsigned long size)
{
	const uint64_t *p = bytes;
	for (unsigned long i = 0; i < size / 8; i++)
		seed = (seed ^ p[i]) * 0x100000001b3 + (seed >> 29);
	return seed;
}

static uint64_t run(uint64_t index, uint64_t count, uint64_t seed, uint64_t flags)
{
	uint64_t result = 0;
	random_state = seed;
	callee = animals[index];
	for (int i = 0; i < 64; i++)
		words[i] = next();
	for (uint64_t n = 0; n < count; n++) {
		static struct state state;
		for (unsigned long i = 0; i < sizeof(state) / 8; i++)
			((uint64_t *)&state)[i] = next();
		state.flags = (state.flags & 0x8d5) | 0x202;
		if (n % 4 == 0)
			state.cx = state.di = n % 8;
		invoke(&state);
		state.flags &= flags;
		result = hash(result, &state, sizeof(state));
		result = hash(result, words, sizeof(words));
	}
	return result;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	int fd = open(argv[1], O_RDWR);
	struct control *control = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || control == MAP_FAILED)
		return 1;
	slot = zoo_cmp_rip;
	ready();
	for (uint64_t seen = 0;;) {
		uint64_t go;
		while ((go = atomic_load(&control->go)) == seen)
			usleep(50);
		seen = go;
		control->hash = run(control->index, control->count, control->seed, control->flags);
		atomic_store(&control->done, go);
	}
}
