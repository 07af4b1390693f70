/* Becomes the program FILE from memory: memfd FILE ARGS... */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
	(void)argc;
	int file = open(argv[1], O_RDONLY), memory = memfd_create("program", MFD_CLOEXEC);
	struct stat stat;
	fstat(file, &stat);
	sendfile(memory, file, 0, stat.st_size);
	fexecve(memory, argv + 1, environ);
	return 1;
}
