/* Shared by the files of the configuration library. */
#ifndef CONFIG_CONFIG_PRIV_H
#define CONFIG_CONFIG_PRIV_H

#include "base/mem.h"
#include "config/config.h"

/* What config_document_table describes. */
struct config_document {
    struct config_defaults defaults;
    struct row_list sources, targets, modules, rules;
};

struct config_network {
    int family; /* AF_INET or AF_INET6 */
    unsigned char address[16];
    int bits;
};
/* "10.0.0.0/8", "::1", "192.168.1.5"; 0 or -1. */
int config_network(struct config_network *out, const char *text);

/* Collects up to max errors; n counts all. */
struct config_errors {
    struct rows_error *items;
    size_t n, max;
    struct arena *arena;
};
void config_error(struct config_errors *errors, const char *pointer, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* References, expressions and what else one row cannot say; compiles the rules. */
void config_check(struct config_snapshot *s, struct config_errors *errors);

#endif
