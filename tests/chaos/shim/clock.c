/* Simulates a host whose clock is CLOCK_AHEAD_SECONDS ahead, or behind if negative. Loaded with LD_PRELOAD. The monotonic clock
   is not changed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static time_t ahead(void) {
  const char *text = getenv("CLOCK_AHEAD_SECONDS");
  return text ? (time_t)atol(text) : 0;
}

/* System calls, so that the functions need not look up the ones that they replace. */
int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = (int)syscall(SYS_clock_gettime, clock, now);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    now->tv_sec += ahead();
  }
  return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  int failed = (int)syscall(SYS_gettimeofday, now, zone);
  if (!failed) {
    now->tv_sec += ahead();
  }
  return failed;
}

/* Deadlines are computed from the clock above, and must be converted to the clock of the kernel. */
#define WAIT(name, condition_type, mutex_type)                                                                        \
  int name(condition_type *restrict condition, mutex_type *restrict mutex, const struct timespec *restrict until) {  \
    static int (*wait)(condition_type *, mutex_type *, const struct timespec *);                                     \
    if (!wait) {                                                                                                     \
      *(void **)&wait = dlsym(RTLD_NEXT, #name);                                                                     \
    }                                                                                                                \
    struct timespec there = {until->tv_sec - ahead(), until->tv_nsec};                                               \
    return wait(condition, mutex, &there);                                                                           \
  }
WAIT(cnd_timedwait, cnd_t, mtx_t)
WAIT(pthread_cond_timedwait, pthread_cond_t, pthread_mutex_t)
