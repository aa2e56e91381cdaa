/* Between an instance and its C library: a wall clock that is off, and programs that are slow to
 * begin.  How much is in a file of two 64-bit numbers, nanoseconds each, which CHAOS_SHIM names and
 * a test writes at any time.  Only calls that are safe between a vfork and its exec are made. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

static const volatile struct { long long clock, exec; } *control;

__attribute__((constructor)) static void begin(void)
{
	const char *name = getenv("CHAOS_SHIM");
	int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	void *page = mmap(NULL, sizeof *control, PROT_READ, MAP_SHARED, fd, 0);
	if (page != MAP_FAILED)
		control = page;
	close(fd);
}

int clock_gettime(clockid_t id, struct timespec *now)
{
	int result = syscall(SYS_clock_gettime, id, now);

	if (!result && control && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
		long long moved = now->tv_sec * SECOND + now->tv_nsec + control->clock;

		now->tv_sec = moved / SECOND;
		now->tv_nsec = moved % SECOND;
	}
	return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec exact;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &exact);
	now->tv_sec = exact.tv_sec;
	now->tv_usec = exact.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *now)
{
	struct timespec exact;

	clock_gettime(CLOCK_REALTIME, &exact);
	if (now)
		*now = exact.tv_sec;
	return exact.tv_sec;
}

int execve(const char *path, char *const words[], char *const environ[])
{
	if (control && control->exec && !syscall(SYS_faccessat, AT_FDCWD, path, X_OK)) {
		struct timespec pause = { control->exec / SECOND, control->exec % SECOND };

		syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &pause, NULL);
	}
	return syscall(SYS_execve, path, words, environ);
}
