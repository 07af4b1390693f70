/*
 * Three functions, the second too short for any jump: code follows it at once. One behind it that a short jump fits in.
 * C++ names for two more.
 */
#include "target.h"

__asm__(".text\n .p2align 4\n"
        ".globl tiny_a\n .type tiny_a, @function\n"
        "tiny_a: lea 1(%rdi), %rax\n xchg %ax, %ax\n ret\n .size tiny_a, . - tiny_a\n"
        ".globl tiny_b\n .type tiny_b, @function\n"
        "tiny_b: ret\n .size tiny_b, . - tiny_b\n"
        ".globl brief\n .type brief, @function\n"
        "brief: xor %eax, %eax\n ret\n .size brief, . - brief\n"
        ".globl tiny_c\n .type tiny_c, @function\n"
        "tiny_c: lea 2(%rdi), %rax\n xchg %ax, %ax\n ret\n .size tiny_c, . - tiny_c\n"
        ".p2align 4\n"
        ".globl _ZN2ns3addEil\n .type _ZN2ns3addEil, @function\n" /* ns::add(int, long) */
        "_ZN2ns3addEil: lea (%rdi,%rsi), %rax\n xchg %ax, %ax\n ret\n .size _ZN2ns3addEil, . - _ZN2ns3addEil\n"
        ".p2align 4\n"
        ".globl _ZN2ns3addEd\n .type _ZN2ns3addEd, @function\n" /* ns::add(double) */
        "_ZN2ns3addEd: addsd %xmm0, %xmm0\n xchg %ax, %ax\n ret\n .size _ZN2ns3addEd, . - _ZN2ns3addEd\n");

int main(void) {
  ready();
  for (;;) pause();
}
