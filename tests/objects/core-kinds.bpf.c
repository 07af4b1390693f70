/*
 * Relocations by the types of the kernel (CO-RE), one of every kind a program: what it returns is the answer. The kernel's side is
 * core-kernel.bpf.c, where the same types look different.
 */
#include "bpf.h"

#define FIELD_BYTE_OFFSET 0
#define FIELD_BYTE_SIZE 1
#define FIELD_EXISTS 2
#define FIELD_SIGNED 3
#define FIELD_LSHIFT_U64 4
#define FIELD_RSHIFT_U64 5
#define TYPE_EXISTS 0
#define TYPE_SIZE 1
#define TYPE_MATCHES 2
#define ENUMVAL_EXISTS 0
#define ENUMVAL_VALUE 1
#define TYPE_ID_LOCAL 0
#define TYPE_ID_TARGET 1

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct inner {
	int a;
	int b;
};

struct thing {
	int first;
	unsigned long grown;
	unsigned int shrunk;
	int negative;
	struct inner *pointer;
	struct inner items[3];
	unsigned int low : 3;
	unsigned int high : 5;
	int named;
	char tail[];
};

struct thing___other {
	int only_here;
	void *renamed;
};

struct nowhere {
	int x;
};

struct same {
	int x;
	struct inner *p;
};

struct grown {
	int x;
	long y;
};

#pragma clang attribute pop

typedef struct {
	int x;
} alias_t;

enum color {
	RED = 1,
	GREEN = 2,
	GONE = 3,
	BIG = 7,
};

#define program(name, value)                                                                                          \
	SEC("uprobe/" #name) long name(void *ctx) { return value; }
#define info(field, kind) __builtin_preserve_field_info(((struct thing *)0)->field, kind)
#define enumerator(e, kind) __builtin_preserve_enum_value(*(enum color *)e, kind)

program(offset, info(grown, FIELD_BYTE_OFFSET))
program(offset_in_anonymous, info(named, FIELD_BYTE_OFFSET))
program(offset_of_element, info(items[2].b, FIELD_BYTE_OFFSET))
program(offset_of_tail, info(tail[5], FIELD_BYTE_OFFSET))
program(size, info(shrunk, FIELD_BYTE_SIZE))
program(size_of_all, info(items, FIELD_BYTE_SIZE))
program(exists, info(first, FIELD_EXISTS))
program(exists_not, __builtin_preserve_field_info(((struct thing___other *)0)->only_here, FIELD_EXISTS))
program(exists_in_flavour, __builtin_preserve_field_info(((struct thing___other *)0)->renamed, FIELD_EXISTS))
program(exists_not_at_all, __builtin_preserve_field_info(((struct nowhere *)0)->x, FIELD_EXISTS))
program(is_signed, info(negative, FIELD_SIGNED))
program(is_unsigned, info(shrunk, FIELD_SIGNED))
program(left, info(high, FIELD_LSHIFT_U64))
program(right, info(high, FIELD_RSHIFT_U64))
program(bits_offset, info(high, FIELD_BYTE_OFFSET))
program(bits_size, info(high, FIELD_BYTE_SIZE))
program(type_exists, __builtin_preserve_type_info(*(struct thing *)0, TYPE_EXISTS))
program(type_exists_not, __builtin_preserve_type_info(*(struct nowhere *)0, TYPE_EXISTS))
program(alias_exists, __builtin_preserve_type_info(*(alias_t *)0, TYPE_EXISTS))
program(type_size, __builtin_preserve_type_info(*(struct thing *)0, TYPE_SIZE))
program(type_size_not, __builtin_preserve_type_info(*(struct nowhere *)0, TYPE_SIZE))
program(value_exists, enumerator(GREEN, ENUMVAL_EXISTS))
program(value_exists_not, enumerator(GONE, ENUMVAL_EXISTS))
program(value, enumerator(GREEN, ENUMVAL_VALUE))
program(value_64, enumerator(BIG, ENUMVAL_VALUE))
program(id_local, __builtin_btf_type_id(*(struct thing *)0, TYPE_ID_LOCAL))
program(id_target, __builtin_btf_type_id(*(struct thing *)0, TYPE_ID_TARGET))
#if __clang_major__ >= 17
program(type_matches, __builtin_preserve_type_info(*(struct same *)0, TYPE_MATCHES))
program(type_matches_not, __builtin_preserve_type_info(*(struct grown *)0, TYPE_MATCHES))
#endif

/* A field that is read where it is: the size of the load is the kernel's too. */
SEC("uprobe/load")
long load(struct thing *thing)
{
	return thing->grown + thing->shrunk;
}

/* What does not exist may stand behind a check. */
SEC("uprobe/guarded")
long guarded(void *ctx)
{
	struct thing___other *other = ctx;

	if (__builtin_preserve_field_info(other->only_here, FIELD_EXISTS))
		return other->only_here;
	return enumerator(GONE, ENUMVAL_EXISTS) ? enumerator(GONE, ENUMVAL_VALUE) : -1;
}
