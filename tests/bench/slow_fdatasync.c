/* Adds DELAY_MICROSECONDS to each fdatasync, like a volume on a network: LD_PRELOAD of the second disk of `make bench`. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <time.h>

int fdatasync(int file)
{
    static int (*real)(int);
    struct timespec left = {0, DELAY_MICROSECONDS * 1000L};

    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
    return real(file);
}
