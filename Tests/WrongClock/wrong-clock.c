// A time of day that is wrong by WRONG_CLOCK_SECONDS, or by what the file WRONG_CLOCK_FILE says at each moment (a 64-bit number of
// seconds), so that it can jump; for a program that has this library in LD_PRELOAD. Clocks that only measure how time passes are left
// as they are: what sleeps on them must not wake early or late (Debian's faketime moves CLOCK_BOOTTIME too, on which Swift sleeps).
// Built by the end-to-end tests of wrong clocks.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int64_t constant;
static const volatile int64_t *wrong_by = &constant;

__attribute__((constructor)) static void read_environment(void) {
  const char *seconds = getenv("WRONG_CLOCK_SECONDS");
  if (seconds) constant = atoll(seconds);
  const char *name = getenv("WRONG_CLOCK_FILE");
  if (!name) return;
  int file = open(name, O_RDONLY | O_CLOEXEC);
  if (file < 0) abort();
  void *memory = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
  if (memory == MAP_FAILED) abort();
  close(file);
  wrong_by = memory;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = (int)syscall(SYS_clock_gettime, clock, now);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *wrong_by;
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

// Deadlines are made of the wrong time and waited for by the kernel's. Those of other clocks are far from the year 2001. The wrong
// time may jump meanwhile, so nobody waits for longer than a moment before it is looked at again.

static const long moment = 50000000;  // nanoseconds

static int is_before(const struct timespec *one, const struct timespec *other) {
  return one->tv_sec < other->tv_sec || (one->tv_sec == other->tv_sec && one->tv_nsec < other->tv_nsec);
}

/// The kernel's time until which to wait; whether the deadline is that far then.
static int next_look(const struct timespec *deadline, struct timespec *until) {
  *until = *deadline;
  if (deadline->tv_sec <= 1000000000) return 1;
  until->tv_sec -= *wrong_by;
  struct timespec soon;
  syscall(SYS_clock_gettime, CLOCK_REALTIME, &soon);
  soon.tv_nsec += moment;
  if (soon.tv_nsec >= 1000000000) {
    soon.tv_sec += 1;
    soon.tv_nsec -= 1000000000;
  }
  if (!is_before(&soon, until)) return 1;
  *until = soon;
  return 0;
}

int sem_timedwait(sem_t *semaphore, const struct timespec *deadline) {
  static int (*next)(sem_t *, const struct timespec *);
  if (!next) next = (int (*)(sem_t *, const struct timespec *))dlsym(RTLD_NEXT, "sem_timedwait");
  for (;;) {
    struct timespec until;
    int is_last = next_look(deadline, &until);
    int result = next(semaphore, &until);
    if (result == 0 || errno != ETIMEDOUT || is_last) return result;
  }
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *deadline) {
  static int (*next)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
  if (!next) {
    // Without its version glibc gives the first one, of another layout, where there are two.
    void *found = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!found) found = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    next = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))found;
  }
  struct timespec until;
  int is_last = next_look(deadline, &until);
  int result = next(condition, mutex, &until);
  // Anybody may be woken for nothing, and looks whether it was so.
  return result == ETIMEDOUT && !is_last ? 0 : result;
}
