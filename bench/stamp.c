/* A task that tells at once that it runs: a datagram with its name, its process number and the
 * time of day in nanoseconds. Then it ends, or with a third word waits to be killed.
 *
 * stamp SOCKET NAME [stay]
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (argc < 3 || strlen(argv[1]) >= sizeof to.sun_path) {
        fprintf(stderr, "stamp SOCKET NAME [stay]\n");
        return 2;
    }
    strcpy(to.sun_path, argv[1]);
    char text[256];
    int length = snprintf(text, sizeof text, "%s %d %lld", argv[2], (int)getpid(),
                          (long long)now.tv_sec * 1000000000 + now.tv_nsec);
    int out = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (out < 0 || sendto(out, text, (size_t)length, 0, (struct sockaddr *)&to, sizeof to) < 0) {
        perror("stamp");
        return 1;
    }
    while (argc > 3)
        pause();
    return 0;
}
