// Swift's runtime calls these hooks, where they are set, in place of handing a job to the global executor
// (swift/stdlib/public/Concurrency: "Hooks to override global executor behaviour", in the runtime's Concurrency.h).

#include "CStrays.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#define SWIFT __attribute__((swiftcall))

typedef SWIFT void (*enqueue_original)(void *job);
typedef SWIFT void (*enqueue_hook)(void *job, enqueue_original original);
typedef SWIFT void (*delay_original)(unsigned long long nanoseconds, void *job);
typedef SWIFT void (*delay_hook)(unsigned long long nanoseconds, void *job, delay_original original);

typedef SWIFT void (*deadline_original)(long long, long long, long long, long long, int, void *job);
typedef SWIFT void (*deadline_hook)(long long, long long, long long, long long, int, void *job, deadline_original);

static _Thread_local int watched;
static _Thread_local int strays;

static SWIFT void saw(void *job, enqueue_original original) {
  if (watched) strays++;
  original(job);
}

static SWIFT void saw_delayed(unsigned long long nanoseconds, void *job, delay_original original) {
  if (watched) strays++;
  original(nanoseconds, job);
}

static SWIFT void saw_deadline(long long seconds, long long nanoseconds, long long tolerance, long long tolerance_nanoseconds,
                               int clock, void *job, deadline_original original) {
  if (watched) strays++;
  original(seconds, nanoseconds, tolerance, tolerance_nanoseconds, clock, job);
}

static void install(void) {
  enqueue_hook *hook = (enqueue_hook *)dlsym(RTLD_DEFAULT, "swift_task_enqueueGlobal_hook");
  if (hook) *hook = saw;
  delay_hook *delayed = (delay_hook *)dlsym(RTLD_DEFAULT, "swift_task_enqueueGlobalWithDelay_hook");
  if (delayed) *delayed = saw_delayed;
  deadline_hook *until = (deadline_hook *)dlsym(RTLD_DEFAULT, "swift_task_enqueueGlobalWithDeadline_hook");
  if (until) *until = saw_deadline;
}

void martlet_strays_begin(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, install);
  watched = 1;
  strays = 0;
}

int martlet_strays_end(void) {
  watched = 0;
  return strays;
}
