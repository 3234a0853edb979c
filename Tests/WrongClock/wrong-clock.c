// A time of day that is wrong by WRONG_CLOCK_SECONDS, for a program that has this library in LD_PRELOAD. Clocks that only
// measure how time passes are left as they are: what sleeps on them must not wake early or late (Debian's faketime moves
// CLOCK_BOOTTIME too, on which Swift sleeps). Built by the end-to-end test of wrong clocks.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t wrong_by;

__attribute__((constructor)) static void read_environment(void) {
  const char *seconds = getenv("WRONG_CLOCK_SECONDS");
  if (seconds) wrong_by = (time_t)atoll(seconds);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = (int)syscall(SYS_clock_gettime, clock, now);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += wrong_by;
  return failed;
}

int gettimeofday(struct timeval *now, void *zone) {
  (void)zone;
  struct timespec precise;
  if (clock_gettime(CLOCK_REALTIME, &precise)) return -1;
  now->tv_sec = precise.tv_sec;
  now->tv_usec = precise.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *result) {
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
  if (result) *result = now.tv_sec;
  return now.tv_sec;
}

// Deadlines are made of the wrong time and waited for by the kernel's. Those of other clocks are far from the year 2001.

static struct timespec by_the_kernel(const struct timespec *deadline) {
  struct timespec time = *deadline;
  if (time.tv_sec > 1000000000) time.tv_sec -= wrong_by;
  return time;
}

int sem_timedwait(sem_t *semaphore, const struct timespec *deadline) {
  static int (*next)(sem_t *, const struct timespec *);
  if (!next) next = (int (*)(sem_t *, const struct timespec *))dlsym(RTLD_NEXT, "sem_timedwait");
  struct timespec time = by_the_kernel(deadline);
  return next(semaphore, &time);
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *deadline) {
  static int (*next)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
  if (!next) {
    // Without its version glibc gives the first one, of another layout, where there are two.
    void *found = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!found) found = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    next = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))found;
  }
  struct timespec time = by_the_kernel(deadline);
  return next(condition, mutex, &time);
}
