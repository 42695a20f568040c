/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Goes before each file of libipn: its calls of the system go to the simulation. The headers are
 * included first, so that only the calls are renamed.
 */
#ifndef SIM_LIBC_H
#define SIM_LIBC_H

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

int sim_lock(void *mutex);
int sim_unlock(void *mutex);
int sim_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *left);
int sim_sched_yield(void);
int sim_clock(struct timespec *ts);
ssize_t sim_write(int fd, const void *data, size_t len);
ssize_t sim_writev(int fd, const struct iovec *iov, int n);
void *sim_mmap(size_t len, int fd);
void *sim_mremap(void *p, const void *over);
int sim_unmap(const void *p);
int sim_cookie(void *cookie, const void *len);
int sim_close(int fd);
int sim_sleep(const struct timespec *ts);
void sim_copy(void *to, const void *from, size_t n);

#define pthread_mutex_lock(m) sim_lock(m)
#define pthread_mutex_unlock(m) sim_unlock(m)
#define ppoll(fds, n, left, mask) sim_ppoll(fds, n, left)
#define sched_yield() sim_sched_yield()
#define clock_gettime(clock, ts) sim_clock(ts)
#define write(fd, data, len) sim_write(fd, data, len)
#define writev(fd, iov, n) sim_writev(fd, iov, n)
#define mmap(at, len, prot, flags, fd, off) sim_mmap(len, fd)
#define mremap(p, old, len, flags, over) sim_mremap(p, over)
#define munmap(p, len) sim_unmap(p)
#define getsockopt(fd, level, name, value, len) sim_cookie(value, len)
#define close(fd) sim_close(fd)
#define nanosleep(ts, left) sim_sleep(ts)
#undef memcpy
#define memcpy(to, from, n) sim_copy(to, from, n)

#endif
