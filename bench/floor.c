/* The least that running tasks can cost on a machine: processes, some at once, each with two
 * directories and two output files, and nothing else at all.
 *
 * floor DIR N AT_ONCE: runs /bin/true N times below DIR and prints the seconds that it took.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST_PATH = 4096 };

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void check(int error, const char *what) {
    if (error) {
        errno = error;
        fail(what);
    }
}

static void path_of(char *path, const char *root, long number, const char *name) {
    if (snprintf(path, LONGEST_PATH, "%s/%ld%s", root, number, name) >= LONGEST_PATH) {
        errno = ENAMETOOLONG;
        fail(root);
    }
}

static void start(const char *root, long number) {
    static char *const arguments[] = {"/bin/true", NULL};
    static char *const environment[] = {"PATH=/usr/bin:/bin", NULL};
    char task[LONGEST_PATH], work[LONGEST_PATH], out[LONGEST_PATH], err[LONGEST_PATH];
    posix_spawn_file_actions_t actions;
    pid_t pid;

    path_of(task, root, number, "");
    path_of(work, root, number, "/wd");
    path_of(out, root, number, "/stdout.txt");
    path_of(err, root, number, "/stderr.txt");
    if (mkdir(task, 0755) || mkdir(work, 0755))
        fail(task);
    check(posix_spawn_file_actions_init(&actions), "file actions");
    check(posix_spawn_file_actions_addopen(&actions, 1, out, O_WRONLY | O_CREAT, 0644), "stdout");
    check(posix_spawn_file_actions_addopen(&actions, 2, err, O_WRONLY | O_CREAT, 0644), "stderr");
    check(posix_spawn_file_actions_addchdir_np(&actions, work), "chdir");
    check(posix_spawn(&pid, arguments[0], &actions, NULL, arguments, environment), "spawn");
    posix_spawn_file_actions_destroy(&actions);
}

static void end(void) {
    int status;

    if (wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status))
        fail("wait");
}

int main(int count, char **words) {
    struct timespec began, ended;
    long number, running = 0, wanted, at_once;

    if (count != 4 || (wanted = atol(words[2])) < 1 || (at_once = atol(words[3])) < 1) {
        fprintf(stderr, "usage: floor DIR N AT_ONCE\n");
        return 2;
    }
    clock_gettime(CLOCK_MONOTONIC, &began);
    for (number = 0; number < wanted; number++) {
        if (running == at_once) {
            end();
            running--;
        }
        start(words[1], number);
        running++;
    }
    while (running--)
        end();
    clock_gettime(CLOCK_MONOTONIC, &ended);
    printf("%.6f\n",
           (double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9);
    return 0;
}
