/* SPDX-License-Identifier: MIT */
/* Run a target on files, or on all files of directories: no fuzzer needed. */
#include "ops.h"
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX 65536

static unsigned long inputs;

static void run_file(const char *path)
{
	static uint8_t bytes[INPUT_MAX];
	FILE *f = fopen(path, "rb");
	uint8_t *exact;
	size_t n;

	MUST(f);
	n = fread(bytes, 1, sizeof(bytes), f);
	MUST(!ferror(f));
	fclose(f);
	/* A block of just that size, so that a sanitizer sees a step across its end. */
	exact = malloc(n + !n);
	MUST(exact);
	memcpy(exact, bytes, n);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	inputs++;
}

static void run_directory(const char *path)
{
	DIR *dir = opendir(path);
	char name[4096];

	MUST(dir);
	for (struct dirent *e; (e = readdir(dir));) {
		if (e->d_name[0] == '.')
			continue;
		MUST(snprintf(name, sizeof(name), "%s/%s", path, e->d_name) < (int)sizeof(name));
		run_file(name);
	}
	closedir(dir);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct stat st;

		MUST(stat(argv[i], &st) == 0);
		if (S_ISDIR(st.st_mode))
			run_directory(argv[i]);
		else
			run_file(argv[i]);
	}
	printf("%lu inputs\n", inputs);
	return inputs > 0 ? 0 : 1;
}
