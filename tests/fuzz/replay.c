/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over files, or over the files of folders: the corpus as an ordinary test. */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#define PATH_BYTES 4096

static size_t files;

static int replay_file(const char *path, size_t size)
{
	/* Exactly its size, so that AddressSanitizer sees a read beyond it. */
	uint8_t *data = malloc(size);
	FILE *file = fopen(path, "rb");
	int r = 0;

	if (!file || (size > 0 && !data) || fread(data, 1, size, file) != size) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		r = -EIO;
	} else {
		LLVMFuzzerTestOneInput(data, size);
		files++;
	}
	if (file)
		fclose(file);
	free(data);
	return r;
}

static int replay(const char *path)
{
	char inner[PATH_BYTES];
	struct dirent *entry;
	struct stat status;
	DIR *folder;
	int r = 0;

	if (stat(path, &status) < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -errno;
	}
	if (!S_ISDIR(status.st_mode))
		return replay_file(path, (size_t)status.st_size);
	folder = opendir(path);
	if (!folder)
		return -errno;
	while (r == 0 && (entry = readdir(folder)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		if (snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name) >= (int)sizeof(inner))
			r = -ENAMETOOLONG;
		else
			r = replay(inner);
	}
	closedir(folder);
	return r;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (replay(argv[i]) < 0)
			return 1;
	printf("%zu files\n", files);
	return files == 0; /* a corpus that is not there proves nothing */
}
