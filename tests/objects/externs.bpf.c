/* Variables that somebody else defines: settings of the kernel, and addresses in it. */
#include "bpf.h"

#define __kconfig __attribute__((section(".kconfig")))
#define __ksym __attribute__((section(".ksyms")))

enum libbpf_tristate { TRI_NO, TRI_YES, TRI_MODULE };

extern int LINUX_KERNEL_VERSION __kconfig;
extern const _Bool LINUX_HAS_BPF_COOKIE __kconfig;
extern _Bool CONFIG_BPF __kconfig;
extern enum libbpf_tristate CONFIG_EXT4_FS __kconfig;
extern char CONFIG_LETTER __kconfig;
extern long long CONFIG_LONG __kconfig;
extern int CONFIG_HZ __kconfig;
extern char CONFIG_NAME[8] __kconfig;
extern int CONFIG_ABSENT __kconfig __weak;
extern _Bool CONFIG_ABSENT_TOO __kconfig __weak;
extern const int absent_variable __ksym __weak;

__u64 seen[16];

SEC("uprobe")
int on_call(struct pt_regs *ctx)
{
	seen[0] = LINUX_KERNEL_VERSION;
	seen[1] = LINUX_HAS_BPF_COOKIE;
	seen[2] = CONFIG_BPF;
	seen[3] = CONFIG_EXT4_FS;
	seen[4] = CONFIG_LETTER;
	seen[5] = CONFIG_LONG;
	seen[6] = CONFIG_HZ;
	seen[7] = CONFIG_NAME[0];
	seen[8] = CONFIG_NAME[5];
	seen[9] = CONFIG_NAME[7];
	seen[10] = CONFIG_ABSENT;
	seen[11] = CONFIG_ABSENT_TOO;
	seen[12] = (__u64)&absent_variable;
	return 0;
}
