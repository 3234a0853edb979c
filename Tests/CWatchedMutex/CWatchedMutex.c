// Tells the thread sanitizer what Synchronization.Mutex does when somebody has to wait for it. The way without waiting is compiled
// into each caller, where the sanitizer sees it; the way with waiting is in Swift's own library, where it sees nothing, and takes two
// holders of one mutex for a race. These two functions stand before those of the library (ld.so(8): the program's come first), call
// them, and report what they have done (compiler-rt, tsan_interface.h). Only in builds with that sanitizer.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "CWatchedMutex.h"

#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *mutex

// _MutexHandle._lockSlow(UInt32) and _MutexHandle._unlockSlow()
#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

void __tsan_acquire(void *address);
void __tsan_release(void *address);

SWIFT void martlet_lock(uint32_t thread, SELF) __asm__(LOCK);
SWIFT void martlet_unlock(SELF) __asm__(UNLOCK);

static void *next(const char *name) {
  void *function = dlsym(RTLD_NEXT, name);
  if (function == NULL) {
    fprintf(stderr, "Swift's library has no %s any more: CWatchedMutex.c has to follow it\n", name);
    abort();
  }
  return function;
}

SWIFT void martlet_lock(uint32_t thread, SELF) {
  ((SWIFT void (*)(uint32_t, SELF))next(LOCK))(thread, mutex);
  __tsan_acquire(mutex);
}

SWIFT void martlet_unlock(SELF) {
  __tsan_release(mutex);
  ((SWIFT void (*)(SELF))next(UNLOCK))(mutex);
}
