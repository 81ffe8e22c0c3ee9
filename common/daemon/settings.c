/* Settings of a process: the skeleton's rows and the service's own; file, environment, flags. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "daemon/daemon_priv.h"

#define FILE_MAX (1 << 20)
#define KEY_MAX  64

static const char *const level_names[] = {"debug", "info", "warn", "error", NULL};

static int check_name(const char *s, const char *also, struct err *e)
{
    for (const char *p = s; *p; p++)
        if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && !strchr(also, *p))
            return err_set(e, ERR_REJECT, 0, "only a-z 0-9 %s", also);
    return 0;
}

static int check_site(const char *s, struct err *e)
{
    return check_name(s, "-_", e);
}

static int check_instance(const char *s, struct err *e)
{
    return check_name(s, "-_.ABCDEFGHIJKLMNOPQRSTUVWXYZ", e);
}

#define AT(member) offsetof(struct daemon_settings, member)

const struct row daemon_rows[] = {
    {"site", ROW_STRING, AT(site), 0, "main", 1, 32, .check = check_site,
     .help = "Site: part of every topic name and group."},
    {"instance", ROW_STRING, AT(instance), 0, "", 0, 64, .check = check_instance,
     .help = "Name of this process among its kind, stable over restarts; empty = the host name."},
    {"brokers", ROW_STRING, AT(brokers), 0, "127.0.0.1:9092", 1, 4096,
     .help = "Kafka brokers, host:port,…"},
    {"kafkaSecurityProtocol", ROW_STRING, AT(kafka.security_protocol), 0, "", 0, 32,
     .help = "plaintext, ssl, sasl_plaintext, sasl_ssl; empty = plaintext."},
    {"kafkaSaslMechanism", ROW_STRING, AT(kafka.sasl_mechanism), 0, "", 0, 32,
     .help = "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512."},
    {"kafkaSaslUser", ROW_STRING, AT(kafka.sasl_user), 0, "", 0, 256, .help = "SASL user."},
    {"kafkaSaslPasswordFile", ROW_STRING, AT(kafka.sasl_password_file), ROW_FILE, "", 0, 4096,
     .help = "File with the SASL password."},
    {"kafkaCaFile", ROW_STRING, AT(kafka.ca_file), 0, "", 0, 4096,
     .help = "PEM file of the authorities that certify the brokers."},
    {"kafkaCertificateFile", ROW_STRING, AT(kafka.certificate_file), 0, "", 0, 4096,
     .help = "PEM file of this client's certificate."},
    {"kafkaKeyFile", ROW_STRING, AT(kafka.key_file), ROW_FILE, "", 0, 4096,
     .help = "PEM file of its private key."},
    {"kafkaLingerMilliseconds", ROW_INT, AT(linger_ms), 0, "0", 0, 100,
     .help = "How long the producer gathers records before it sends them.",
     .unit = "milliseconds"},
    {"kafkaSessionSeconds", ROW_INT, AT(session_seconds), 0, "7", 1, 300,
     .help = "How long a crashed process keeps its partitions before others get them.",
     .unit = "seconds"},
    {"store", ROW_STRING, AT(store), 0, "file:var/store", 1, 4096, .help = "Object store."},
    {"database", ROW_STRING, AT(database), ROW_SECRET, "", 0, 4096,
     .help = "PostgreSQL connection string; empty = none."},
    {"admin", ROW_STRING, AT(admin), 0, "127.0.0.1:0", 1, 256,
     .help =
         "host:port of /healthz, /readyz and /metrics; port 0 = any free one, which is logged."},
    {"adminFile", ROW_STRING, AT(admin_file), 0, "", 0, 4096,
     .help = "File the admin port is written to; empty = none."},
    {"logLevel", ROW_ENUM, AT(log_level), 0, "info", .names = level_names,
     .help = "Least level that is logged."},
};
const size_t daemon_rows_n = ARRAY_LEN(daemon_rows);

struct row_table settings_table(const struct service *s, struct arena *a)
{
    size_t n = daemon_rows_n + s->n_settings;
    struct row *rows = arena_alloc(a, n * sizeof *rows);
    memcpy(rows, daemon_rows, sizeof daemon_rows);
    if (s->n_settings)
        memcpy(rows + daemon_rows_n, s->settings, s->n_settings * sizeof *rows);
    size_t size = s->settings_size ? s->settings_size : sizeof(struct daemon_settings);
    return (struct row_table){s->name, size, rows, n, s->summary, true};
}

/* "kafkaCaFile" → "kafka-ca-file" (join '-') or "KAFKA_CA_FILE" (join '_') */
static void spell(char out[KEY_MAX], const char *key, char join)
{
    size_t n = 0;
    for (const char *p = key; *p && n + 2 < KEY_MAX; p++) {
        if (isupper((unsigned char)*p))
            out[n++] = join;
        out[n++] = (char)(join == '_' ? toupper((unsigned char)*p) : tolower((unsigned char)*p));
    }
    out[n] = 0;
}

static int from_environment(void *out, const struct row_table *t, struct arena *a, struct err *e)
{
    for (size_t i = 0; i < t->n; i++) {
        char key[KEY_MAX], name[KEY_MAX + 16];
        spell(key, t->rows[i].name, '_');
        snprintf(name, sizeof name, "TALARIA_%s", key);
        const char *value = getenv(name);
        if (value && rows_set(out, t, t->rows[i].name, value, a, e))
            return err_wrap(e, "%s", name);
    }
    return 0;
}

static int from_file(void *out, const struct row_table *t, const char *path, struct arena *a,
                     struct err *e)
{
    struct str text = STR_INIT;
    int r = file_read(&text, path, FILE_MAX, e);
    if (!r && rows_decode(out, t, str_cstr(&text), text.len, a, NULL, e))
        r = err_wrap(e, "%s", path);
    str_free(&text);
    return r;
}

static const struct row *row_of_flag(const struct row_table *t, const char *flag)
{
    for (size_t i = 0; i < t->n; i++) {
        char name[KEY_MAX];
        spell(name, t->rows[i].name, '-');
        if (strcmp(name, flag) == 0 || strcmp(t->rows[i].name, flag) == 0)
            return &t->rows[i];
    }
    return NULL;
}

static int mode_of_flag(const char *flag, enum settings_mode *mode)
{
    static const struct {
        const char *flag;
        enum settings_mode mode;
    } modes[] = {{"help", MODE_HELP},
                 {"version", MODE_VERSION},
                 {"failpoints", MODE_FAILPOINTS},
                 {"reference", MODE_REFERENCE},
                 {"check", MODE_CHECK}};
    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        if (strcmp(flag, modes[i].flag) == 0) {
            *mode = modes[i].mode;
            return 0;
        }
    return -1;
}

/* One flag with its value: --key VALUE or --key=VALUE. i moves past it. */
struct flag {
    char name[KEY_MAX];
    const char *value;
};

static int next_flag(struct flag *f, int argc, char **argv, int *i, enum settings_mode *mode,
                     struct err *e)
{
    const char *arg = argv[(*i)++];
    if (strncmp(arg, "--", 2) != 0)
        return err_set(e, ERR_FATAL, 0, "unexpected argument %.60s", arg);
    const char *eq = strchr(arg, '=');
    size_t n = eq ? (size_t)(eq - arg - 2) : strlen(arg) - 2;
    snprintf(f->name, sizeof f->name, "%.*s", (int)n, arg + 2);
    f->value = NULL;
    if (!eq && !mode_of_flag(f->name, mode))
        return 0;
    f->value = eq ? eq + 1 : *i < argc ? argv[(*i)++] : NULL;
    return f->value ? 0 : err_set(e, ERR_FATAL, 0, "--%s needs a value", f->name);
}

/* First walk: what is asked, and which file; second walk: the values. */
static int find_file(int argc, char **argv, const char **file, enum settings_mode *mode,
                     struct err *e)
{
    struct flag f;
    for (int i = 1; i < argc;) {
        if (next_flag(&f, argc, argv, &i, mode, e))
            return -1;
        if (f.value && strcmp(f.name, "settings") == 0)
            *file = f.value;
    }
    return 0;
}

static int from_flags(void *out, const struct row_table *t, int argc, char **argv, struct arena *a,
                      struct err *e)
{
    struct flag f;
    enum settings_mode ignored;
    for (int i = 1; i < argc;) {
        if (next_flag(&f, argc, argv, &i, &ignored, e))
            return -1;
        if (!f.value || strcmp(f.name, "settings") == 0)
            continue;
        const struct row *row = row_of_flag(t, f.name);
        if (!row)
            return err_set(e, ERR_FATAL, 0, "unknown setting --%s", f.name);
        if (rows_set(out, t, row->name, f.value, a, e))
            return err_wrap(e, "--%s", f.name);
    }
    return 0;
}

static void fill_instance(struct daemon_settings *s, struct arena *a)
{
    char host[65] = "";
    if (s->instance && *s->instance)
        return;
    if (gethostname(host, sizeof host - 1) || !*host)
        str_copy(host, sizeof host, "local");
    s->instance = arena_strdup(a, host);
}

int settings_read(void *out, const struct service *s, int argc, char **argv, struct arena *a,
                  enum settings_mode *mode, struct err *e)
{
    const char *file = getenv("TALARIA_SETTINGS");
    struct row_table t = settings_table(s, a);
    *mode = MODE_RUN;
    if (find_file(argc, argv, &file, mode, e))
        return -1;
    rows_defaults(out, &t, a);
    if ((file && from_file(out, &t, file, a, e)) || from_environment(out, &t, a, e) ||
        from_flags(out, &t, argc, argv, a, e)) {
        e->kind = ERR_FATAL;
        return -1;
    }
    fill_instance(out, a);
    return 0;
}
