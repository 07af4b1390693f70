/* Types as another kernel has them, for core-kinds.bpf.c: only its BTF is used. */
#include "bpf.h"

struct inner {
	long before;
	int a;
	int b;
};

struct thing {
	char before[40];
	unsigned int grown;
	unsigned long shrunk;
	short negative;
	int first;
	void *renamed;
	struct inner *pointer;
	struct inner items[4];
	unsigned long flags : 9;
	unsigned long high : 5;
	struct {
		int before_named;
		union {
			int named;
			float other;
		};
	};
	char tail[];
};

struct same {
	char more;
	int x;
	struct inner *p;
};

struct grown {
	int x;
	int y;
};

typedef struct {
	char y;
} alias_t;

enum color {
	RED = 5,
	GREEN = 6,
	BIG = 0x123456789ULL,
};

/* The compiler leaves out what nobody has. */
struct thing thing;
struct same same;
struct grown grown;
alias_t alias;
enum color color;
