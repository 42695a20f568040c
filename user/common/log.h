/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the manager and its helpers log: to stderr while they are in the foreground or starting,
 * else to syslog.
 */
#ifndef IPN_COMMON_LOG_H
#define IPN_COMMON_LOG_H

#include <syslog.h>

/* From now on to syslog, under the program's name. */
void log_to_syslog(void);
void log_line(int priority, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_err(...) log_line(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_notice(...) log_line(LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)

#endif
