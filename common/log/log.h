/*
 * JSON lines on stderr: {"ts":…,"level":…,"service":…,"instance":…,"msg":…, fields}. One write per
 * line, any thread. There is no field macro for struct phi: patient data cannot be logged.
 *
 *     log_info("association accepted", LOG_STR("calling_ae", ae), LOG_INT("contexts", n));
 */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include <stdint.h>

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

enum log_type { LOG_TYPE_END, LOG_TYPE_STR, LOG_TYPE_INT, LOG_TYPE_NUM };

struct log_field {
    const char *key;
    enum log_type type;
    const char *str;
    int64_t num;
    double real;
};

/* Per-cause limiter: the first line of a cause passes, then at most one in 10 s with the number of
 * those left out as field "suppressed". One static struct per place. */
struct log_limit {
    int64_t next_ms;
    int64_t suppressed;
};

void log_setup(const char *service, const char *instance, enum log_level level);
void log_emit(enum log_level level, struct log_limit *limit, const char *msg,
              const struct log_field *fields);

#define LOG_STR(k, v) {(k), LOG_TYPE_STR, (v), 0, 0}
#define LOG_INT(k, v) {(k), LOG_TYPE_INT, 0, (int64_t)(v), 0}
#define LOG_NUM(k, v) {(k), LOG_TYPE_NUM, 0, 0, (double)(v)}
#define LOG_ERR(e)    LOG_STR("error", (e)->text), LOG_INT("error_code", (e)->code)

#define LOG_FIELDS(...)                                                                            \
    ((const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){0, LOG_TYPE_END, 0, 0, 0}})
#define log_debug(msg, ...) log_emit(LOG_LEVEL_DEBUG, 0, msg, LOG_FIELDS(__VA_ARGS__))
#define log_info(msg, ...)  log_emit(LOG_LEVEL_INFO, 0, msg, LOG_FIELDS(__VA_ARGS__))
#define log_warn(msg, ...)  log_emit(LOG_LEVEL_WARN, 0, msg, LOG_FIELDS(__VA_ARGS__))
#define log_error(msg, ...) log_emit(LOG_LEVEL_ERROR, 0, msg, LOG_FIELDS(__VA_ARGS__))
#define LOG_LIMITED(level, msg, ...)                                                               \
    do {                                                                                           \
        static struct log_limit log_limit_here;                                                    \
        log_emit(level, &log_limit_here, msg, LOG_FIELDS(__VA_ARGS__));                            \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
