/* JSON lines: the line is built in memory and written with one write(2). */
#include "log/log.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#define LIMIT_MS 10000

static struct {
    char service[32], instance[64];
    enum log_level level;
} config = {.service = "talaria", .level = LOG_LEVEL_INFO};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_setup(const char *service, const char *instance, enum log_level level)
{
    str_copy(config.service, sizeof config.service, service);
    str_copy(config.instance, sizeof config.instance, instance);
    config.level = level;
}

/* True if the line may pass; *suppressed = lines left out since the last one. */
static int limit_passes(struct log_limit *limit, int64_t *suppressed)
{
    int64_t now = clock_mono_ms();
    int64_t next = __atomic_load_n(&limit->next_ms, __ATOMIC_RELAXED);
    if (now < next || !__atomic_compare_exchange_n(&limit->next_ms, &next, now + LIMIT_MS, 0,
                                                   __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        __atomic_add_fetch(&limit->suppressed, 1, __ATOMIC_RELAXED);
        return 0;
    }
    *suppressed = __atomic_exchange_n(&limit->suppressed, 0, __ATOMIC_RELAXED);
    return 1;
}

static void put_field(struct str *s, const struct log_field *f)
{
    str_putc(s, ',');
    str_json(s, f->key, strlen(f->key));
    str_putc(s, ':');
    if (f->type == LOG_TYPE_INT)
        str_printf(s, "%lld", (long long)f->num);
    else if (f->type == LOG_TYPE_NUM)
        str_printf(s, "%g", f->real);
    else if (f->str)
        str_json(s, f->str, strlen(f->str));
    else
        str_puts(s, "null");
}

void log_emit(enum log_level level, struct log_limit *limit, const char *msg,
              const struct log_field *fields)
{
    if (level < __atomic_load_n(&config.level, __ATOMIC_RELAXED))
        return;
    int64_t suppressed = 0;
    if (limit && !limit_passes(limit, &suppressed))
        return;
    struct str s = STR_INIT;
    char ts[CLOCK_RFC3339];
    str_printf(&s, "{\"ts\":\"%s\",\"level\":\"%s\",\"service\":\"%s\"",
               clock_rfc3339(ts, clock_wall_ms()), level_names[level], config.service);
    put_field(&s, &(struct log_field)LOG_STR("instance", config.instance));
    put_field(&s, &(struct log_field)LOG_STR("msg", msg));
    for (const struct log_field *f = fields; f->type != LOG_TYPE_END; f++)
        put_field(&s, f);
    if (suppressed)
        put_field(&s, &(struct log_field)LOG_INT("suppressed", suppressed));
    str_puts(&s, "}\n");
    ssize_t ignored = write(STDERR_FILENO, s.data, s.len); /* nowhere to report a failure to */
    (void)ignored;
    str_free(&s);
}
