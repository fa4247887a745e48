/* Makes the n-th write or fsync below a directory fail, as a failing disk would. Preloaded into the daemon by tests.
 *
 *   VESTIBULE_FAIL_DIR     only files and directories below this one count; nothing else is touched
 *   VESTIBULE_FAIL_SYNC    number of the call of fsync or fdatasync that fails with EIO, from 1
 *   VESTIBULE_FAIL_WRITE   number of the call of write, pwrite, writev or pwritev that fails with ENOSPC, from 1
 *   VESTIBULE_FAIL_STICKY  if set, all calls of that kind from the n-th on fail
 *   VESTIBULE_FAIL_ARMED   calls count only while a file of this name is there
 *   VESTIBULE_FAIL_REPORT  each counted call becomes a line of this file: its kind, number, what became of it, the path
 *
 * A failing fsync leaves the data unwritten; a failing write has written nothing.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static long syncs, writes;

static int below(int fd, char *path, size_t size)
{
    const char *dir = getenv("VESTIBULE_FAIL_DIR");
    char link[40];
    ssize_t got;
    size_t length;

    if (dir == NULL)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    got = readlink(link, path, size - 1);
    if (got < 0)
        return 0;
    path[got] = 0;
    length = strlen(dir);
    return strncmp(path, dir, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static void report(const char *kind, long number, int fails, const char *path)
{
    const char *name = getenv("VESTIBULE_FAIL_REPORT");
    char line[PATH_MAX + 80];
    int fd, length;

    if (name == NULL)
        return;
    length = snprintf(line, sizeof line, "%s %ld %s %s\n", kind, number, fails ? "failed" : "done", path);
    fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    /* Straight to the kernel: our own write would count. */
    syscall(SYS_write, fd, line, (size_t)length);
    close(fd);
}

/* Counts a call, and says whether it has to fail. */
static int fails(int fd, const char *kind, const char *variable, long *calls)
{
    const char *wanted = getenv(variable), *armed = getenv("VESTIBULE_FAIL_ARMED");
    char path[PATH_MAX];
    long number;
    int is;

    if (wanted == NULL || !below(fd, path, sizeof path) || (armed != NULL && access(armed, F_OK) != 0))
        return 0;
    number = __atomic_add_fetch(calls, 1, __ATOMIC_SEQ_CST);
    is = getenv("VESTIBULE_FAIL_STICKY") != NULL ? number >= atol(wanted) : number == atol(wanted);
    report(kind, number, is, path);
    return is;
}

static int sync_fails(int fd)
{
    if (!fails(fd, "sync", "VESTIBULE_FAIL_SYNC", &syncs))
        return 0;
    errno = EIO;
    return 1;
}

static int write_fails(int fd)
{
    if (!fails(fd, "write", "VESTIBULE_FAIL_WRITE", &writes))
        return 0;
    errno = ENOSPC;
    return 1;
}

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

int fsync(int fd)
{
    REAL(fsync);
    return sync_fails(fd) ? -1 : real(fd);
}

int fdatasync(int fd)
{
    REAL(fdatasync);
    return sync_fails(fd) ? -1 : real(fd);
}

ssize_t write(int fd, const void *data, size_t size)
{
    REAL(write);
    return write_fails(fd) ? -1 : real(fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    REAL(pwrite);
    return write_fails(fd) ? -1 : real(fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
    REAL(pwrite64);
    return write_fails(fd) ? -1 : real(fd, data, size, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    REAL(writev);
    return write_fails(fd) ? -1 : real(fd, parts, count);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    REAL(pwritev);
    return write_fails(fd) ? -1 : real(fd, parts, count, at);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at)
{
    REAL(pwritev64);
    return write_fails(fd) ? -1 : real(fd, parts, count, at);
}
