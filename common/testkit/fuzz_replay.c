/*
 * The main of a fuzz target when it runs without a fuzzer: replays every file of its corpus folder
 * (tests/corpus_<name> beside tests/fuzz_<name>.c; or the files and folders given as arguments).
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replayed;

static int replay_file(const char *path)
{
    struct str content = STR_INIT;
    struct err e = {0};
    if (file_read(&content, path, 64 << 20, &e)) {
        fprintf(stderr, "%s\n", e.text);
        return -1;
    }
    /* an exact copy, so that a read past the end is seen by the sanitizer */
    uint8_t *exact = mem_dup(str_cstr(&content), content.len);
    LLVMFuzzerTestOneInput(exact, content.len);
    mem_free(exact);
    str_free(&content);
    replayed++;
    return 0;
}

static int replay(const char *path)
{
    struct stat st;
    if (stat(path, &st)) {
        perror(path);
        return -1;
    }
    if (!S_ISDIR(st.st_mode))
        return replay_file(path);
    DIR *dir = opendir(path);
    int r = dir ? 0 : -1;
    for (struct dirent *d; dir && (d = readdir(dir));) {
        if (d->d_name[0] == '.')
            continue;
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, d->d_name);
        r |= replay(file);
    }
    if (dir)
        closedir(dir);
    return r;
}

/* build/<variant>/tests/<library>/fuzz_<name> → common/<library>/tests/corpus_<name> */
static int replay_own(const char *program)
{
    char path[4096], library[256] = "";
    const char *name = strrchr(program, '/');
    const char *before = name;
    while (before && before > program && before[-1] != '/')
        before--;
    if (!name || strncmp(name, "/fuzz_", 6) != 0)
        return -1;
    snprintf(library, sizeof library, "%.*s", (int)(name - before), before);
    snprintf(path, sizeof path, "common/%s/tests/corpus_%s", library, name + 6);
    return replay(path);
}

int main(int argc, char **argv)
{
    int r = 0;
    for (int i = 1; i < argc; i++)
        r |= replay(argv[i]);
    if (argc == 1)
        r = replay_own(argv[0]);
    printf("replayed %d inputs\n", replayed);
    return r || replayed == 0;
}
