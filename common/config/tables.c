/* The tables of all domain documents, and the checks of single texts. */
#include <stdio.h>

#include "config/config_priv.h"

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* ---- checks of texts ------------------------------------------------------------------------- */

static int only(const char *v, const char *extra)
{
    for (; *v != '\0'; v++)
        if (!is_letter(*v) && !is_digit(*v) && strchr(extra, *v) == NULL)
            return -1;
    return 0;
}

static int check_name(const char *v, struct err *e)
{
    return v[0] != '\0' && only(v, "_-") == 0
               ? 0
               : err_set(e, ERR_REJECT, 0, "is not of letters, digits, _ and -");
}

static int check_time_of_day(const char *v, struct err *e)
{
    return config_minute(v) >= 0 ? 0 : err_set(e, ERR_REJECT, 0, "is not a time of day (HH:MM)");
}

/* PS3.5 AE: 1 to 16 characters, no backslash, not only blanks; blanks around it mean nothing */
static int check_ae(const char *v, struct err *e)
{
    size_t n = strlen(v);
    if (n == 0 || n > 16)
        return err_set(e, ERR_REJECT, 0, "is not an AE title of 1 to 16 characters");
    for (size_t i = 0; i < n; i++)
        if (v[i] < 0x20 || v[i] > 0x7E || v[i] == '\\')
            return err_set(e, ERR_REJECT, 0, "is not an AE title: ASCII without backslash");
    if (v[0] == ' ' || v[n - 1] == ' ')
        return err_set(e, ERR_REJECT, 0, "begins or ends with a blank");
    return 0;
}

static int check_host(const char *v, struct err *e)
{
    struct config_network ignored;
    if (strchr(v, '/') == NULL && config_network(&ignored, v) == 0)
        return 0;
    if (v[0] != '\0' && v[0] != '-' && v[0] != '.' && only(v, ".-_") == 0)
        return 0;
    return err_set(e, ERR_REJECT, 0, "is not a host name or an address");
}

static int check_path(const char *v, struct err *e)
{
    if (v[0] != '/')
        return err_set(e, ERR_REJECT, 0, "is not an absolute path");
    for (const char *p = strstr(v, ".."); p != NULL; p = strstr(p + 1, ".."))
        if (p[-1] == '/' && (p[2] == '/' || p[2] == '\0'))
            return err_set(e, ERR_REJECT, 0, "has .. in it");
    return 0;
}

static int check_image(const char *v, struct err *e)
{
    return v[0] != '\0' && v[0] != '-' && only(v, "._-/:@") == 0
               ? 0
               : err_set(e, ERR_REJECT, 0, "is not the name of a container image");
}

static int check_charset(const char *v, struct err *e)
{
    return only(v, "_ \\") == 0
               ? 0
               : err_set(e, ERR_REJECT, 0, "is not a value of SpecificCharacterSet");
}

/* ---- names of choices ------------------------------------------------------------------------ */

static const char *const completions[] = {"quiet", "release", "open-association", NULL};
static const char *const syntaxes[] = {"any", "uncompressed", NULL};
static const char *const target_types[] = {"dicom", "folder", "dummy",
                                           "fail",  "dicomtls", NULL};
static const char *const unaccepted[] = {"fail", "skip", NULL};
static const char *const actions[] = {"route", "process", "both", "discard", "notification", NULL};
static const char *const triggers[] = {"series", "study", NULL};
static const char *const lates[] = {"hold", "again", "ignore", NULL};
static const char *const priorities[] = {"normal", "urgent", "offpeak", NULL};

#define DAY 86400
#define NAME(T)                                                                                    \
    {                                                                                              \
        .name = "name", .type = ROW_STRING, .offset = ROW(T, name),                                \
        .flags = ROW_REQUIRED | ROW_NAME, .min = 1, .max = 64, .check = check_name,                \
        .help = "Its name: letters, digits, _ and -, at most 64."                                  \
    }
#define CONTACT(T)                                                                                 \
    {.name = "contact",                                                                            \
     .type = ROW_STRING,                                                                           \
     .offset = ROW(T, contact),                                                                    \
     .max = 256,                                                                                   \
     .help = "Whom to ask."},                                                                      \
    {                                                                                              \
        .name = "comment", .type = ROW_STRING, .offset = ROW(T, comment), .max = 4096,             \
        .help = "For people."                                                                      \
    }
#define TABLE(variable, title, T, list, text)                                                      \
    const struct row_table variable = {.name = title,                                              \
                                       .size = sizeof(struct T),                                   \
                                       .rows = list,                                               \
                                       .n = ARRAY_LEN(list),                                       \
                                       .help = text,                                               \
                                       .closed = true}

/* ---- defaults -------------------------------------------------------------------------------- */

static const struct row defaults_rows[] = {
    {.name = "quietSeconds",
     .type = ROW_INT,
     .offset = ROW(config_defaults, quiet_seconds),
     .def = "60",
     .min = 1,
     .max = DAY,
     .unit = "seconds",
     .help = "A series is whole when nothing came for so long."},
    {.name = "graceSeconds",
     .type = ROW_INT,
     .offset = ROW(config_defaults, grace_seconds),
     .def = "2",
     .min = 0,
     .max = 3600,
     .unit = "seconds",
     .help =
         "How long a source with completion release is waited for after its associations ended."},
    {.name = "lostSeconds",
     .type = ROW_INT,
     .offset = ROW(config_defaults, lost_seconds),
     .def = "180",
     .min = 1,
     .max = DAY,
     .unit = "seconds",
     .help = "An association of a source with completion open-association counts as lost when its "
             "receiver did not say for so long that it is open."},
    {.name = "capSeconds",
     .type = ROW_INT,
     .offset = ROW(config_defaults, cap_seconds),
     .def = "86400",
     .min = 60,
     .max = 7 * DAY,
     .unit = "seconds",
     .help = "A series that never gets quiet is decided after so long."},
    {.name = "capInstances",
     .type = ROW_INT,
     .offset = ROW(config_defaults, cap_instances),
     .def = "50000",
     .min = 1,
     .max = 1000000,
     .help = "A series of so many instances is decided without waiting for more."},
    {.name = "keepSeconds",
     .type = ROW_INT,
     .offset = ROW(config_defaults, keep_seconds),
     .def = "259200",
     .min = 0,
     .max = 3650LL * DAY,
     .unit = "seconds",
     .help = "How long instances are kept after everything they were meant for has ended well."},
    {.name = "extraTags",
     .type = ROW_STRINGS,
     .offset = ROW(config_defaults, extra_tags),
     .max = 64,
     .help = "More tags in every record and for rules: keyword, gggg,eeee, or a path such as "
             "00400275.00400009."},
    {.name = "offPeakStart",
     .type = ROW_STRING,
     .offset = ROW(config_defaults, off_peak_start),
     .def = "22:00",
     .max = 5,
     .check = check_time_of_day,
     .help = "From this time of day (of the site's clock, HH:MM) off-peak work is done."},
    {.name = "offPeakEnd",
     .type = ROW_STRING,
     .offset = ROW(config_defaults, off_peak_end),
     .def = "06:00",
     .max = 5,
     .check = check_time_of_day,
     .help = "Until this time of day, inclusive; before the start: on the next day."},
};
TABLE(config_defaults_table, "defaults", config_defaults, defaults_rows,
      "What holds where a source or a rule says nothing.");

/* ---- sources --------------------------------------------------------------------------------- */

static const struct row source_rows[] = {
    NAME(config_source),
    {.name = "label",
     .type = ROW_STRING,
     .offset = ROW(config_source, label),
     .max = 256,
     .help = "What people call it."},
    {.name = "site",
     .type = ROW_STRING,
     .offset = ROW(config_source, site),
     .max = 64,
     .check = check_name,
     .help = "Where it stands, if not at the service's own site."},
    {.name = "callingAes",
     .type = ROW_STRINGS,
     .offset = ROW(config_source, calling_aes),
     .max = 256,
     .help = "Calling AE titles, with * and ?; none means any."},
    {.name = "calledAes",
     .type = ROW_STRINGS,
     .offset = ROW(config_source, called_aes),
     .max = 256,
     .help = "Called AE titles, with * and ?; none means any."},
    {.name = "addresses",
     .type = ROW_STRINGS,
     .offset = ROW(config_source, addresses),
     .max = 256,
     .help = "IP addresses or networks such as 10.1.0.0/16; none means any."},
    {.name = "certificates",
     .type = ROW_STRINGS,
     .offset = ROW(config_source, certificates),
     .max = 256,
     .help =
         "SHA-256 (64 hexadecimal digits) or subject name of the peer's certificate; none means "
         "any, also no TLS."},
    {.name = "accept",
     .type = ROW_BOOL,
     .offset = ROW(config_source, accept),
     .def = "true",
     .help = "false refuses what matches."},
    {.name = "charset",
     .type = ROW_STRING,
     .offset = ROW(config_source, charset),
     .max = 128,
     .check = check_charset,
     .help = "SpecificCharacterSet of datasets that name none."},
    {.name = "completion",
     .type = ROW_ENUM,
     .offset = ROW(config_source, completion),
     .def = "quiet",
     .names = completions,
     .help =
         "When a series is whole: quiet waits for silence; release also trusts the release of all "
         "its associations; open-association also waits while one is open."},
    {.name = "quietSeconds",
     .type = ROW_INT,
     .offset = ROW(config_source, quiet_seconds),
     .def = "0",
     .min = 0,
     .max = DAY,
     .unit = "seconds",
     .help = "0 takes that of the defaults."},
    {.name = "graceSeconds",
     .type = ROW_INT,
     .offset = ROW(config_source, grace_seconds),
     .def = "-1",
     .min = -1,
     .max = 3600,
     .unit = "seconds",
     .help = "-1 takes that of the defaults."},
    {.name = "syntaxes",
     .type = ROW_ENUM,
     .offset = ROW(config_source, syntaxes),
     .def = "any",
     .names = syntaxes,
     .help = "Which transfer syntaxes are accepted."},
};
TABLE(config_source_table, "source", config_source, source_rows,
      "Who may send. The first source that matches counts; without any source everybody may.");

/* ---- targets --------------------------------------------------------------------------------- */

#define DICOM_ROWS(default_port)                                                                    \
    {.name = "host",                                                                               \
     .type = ROW_STRING,                                                                           \
     .offset = ROW(config_dicom_target, host),                                                     \
     .flags = ROW_REQUIRED,                                                                        \
     .min = 1,                                                                                     \
     .max = 253,                                                                                   \
     .check = check_host,                                                                          \
     .help = "Host name or address; sender means the peer that sent the series."},                 \
    {.name = "port",                                                                               \
     .type = ROW_INT,                                                                              \
     .offset = ROW(config_dicom_target, port),                                                     \
     .def = default_port,                                                                          \
     .min = 1,                                                                                     \
     .max = 65535,                                                                                 \
     .help = "TCP port."},                                                                         \
    {.name = "calledAe",                                                                           \
     .type = ROW_STRING,                                                                           \
     .offset = ROW(config_dicom_target, called_ae),                                                \
     .max = 16,                                                                                    \
     .check = check_ae,                                                                            \
     .help = "The target's AE title (mercure: aet_target); none: ANY-SCP, or for host sender the " \
             "sender's own."},                                                                     \
    {.name = "callingAe",                                                                          \
     .type = ROW_STRING,                                                                           \
     .offset = ROW(config_dicom_target, calling_ae),                                               \
     .max = 16,                                                                                    \
     .check = check_ae,                                                                            \
     .help = "Our AE title (mercure: aet_source); none: the dispatcher's callingAe setting."},     \
    {.name = "passSenderAe",                                                                       \
     .type = ROW_BOOL,                                                                             \
     .offset = ROW(config_dicom_target, pass_sender_ae),                                           \
     .help = "Calls with the AE title of the instance's sender."},                                 \
    {.name = "passReceiverAe",                                                                     \
     .type = ROW_BOOL,                                                                             \
     .offset = ROW(config_dicom_target, pass_receiver_ae),                                         \
     .help = "Calls the AE title that the instance was sent to."},                                 \
    {.name = "timeoutSeconds",                                                                     \
     .type = ROW_INT,                                                                              \
     .offset = ROW(config_dicom_target, timeout_seconds),                                          \
     .def = "60",                                                                                  \
     .min = 1,                                                                                     \
     .max = 3600,                                                                                  \
     .unit = "seconds",                                                                            \
     .help = "How long one answer may take."},                                                     \
    {.name = "window",                                                                             \
     .type = ROW_INT,                                                                              \
     .offset = ROW(config_dicom_target, window),                                                   \
     .def = "1",                                                                                   \
     .min = 1,                                                                                     \
     .max = 64,                                                                                    \
     .help = "Instances under way at once in one association, if the target agrees."}
static const struct row dicom_rows[] = {DICOM_ROWS("104")};
static const struct row dicomtls_rows[] = {
    DICOM_ROWS("2762"),
    {.name = "ca",
     .type = ROW_STRING,
     .offset = ROW(config_dicom_target, ca),
     .flags = ROW_REQUIRED,
     .min = 1,
     .max = 1024,
     .check = check_path,
     .help = "PEM file with the certificates that may sign the target's."},
    {.name = "certificate",
     .type = ROW_STRING,
     .offset = ROW(config_dicom_target, certificate),
     .max = 1024,
     .check = check_path,
     .help = "PEM file with our certificate (and its chain), for a target that asks for one."},
    {.name = "key",
     .type = ROW_STRING,
     .offset = ROW(config_dicom_target, key),
     .max = 1024,
     .check = check_path,
     .help = "PEM file with the key of our certificate."},
    {.name = "certificateName",
     .type = ROW_STRING,
     .offset = ROW(config_dicom_target, certificate_name),
     .max = 253,
     .check = check_host,
     .help = "Name or address that the target's certificate must carry; none: host."},
};
static const struct row_table dicom_table = {.name = "dicom",
                                             .size = sizeof(struct config_dicom_target),
                                             .rows = dicom_rows,
                                             .n = ARRAY_LEN(dicom_rows),
                                             .closed = true};
static const struct row_table dicomtls_table = {.name = "dicomtls",
                                                .size = sizeof(struct config_dicom_target),
                                                .rows = dicomtls_rows,
                                                .n = ARRAY_LEN(dicomtls_rows),
                                                .closed = true};

static const struct row folder_rows[] = {
    {.name = "path",
     .type = ROW_STRING,
     .offset = ROW(config_folder_target, path),
     .flags = ROW_REQUIRED,
     .min = 1,
     .max = 1024,
     .check = check_path,
     .help = "Absolute path; each delivery gets a folder of its own in it."},
    {.name = "exclude",
     .type = ROW_STRINGS,
     .offset = ROW(config_folder_target, exclude),
     .max = 64,
     .help = "File names that are left out, with * and ?."},
};
static const struct row_table folder_table = {.name = "folder",
                                              .size = sizeof(struct config_folder_target),
                                              .rows = folder_rows,
                                              .n = ARRAY_LEN(folder_rows),
                                              .closed = true};

static const struct row target_rows[] = {
    NAME(config_target),
    {.name = "type",
     .type = ROW_ENUM,
     .offset = ROW(config_target, type),
     .flags = ROW_REQUIRED,
     .names = target_types,
     .help =
         "dummy accepts everything and keeps nothing; fail fails everything: both are for tests."},
    {.name = "dicom",
     .type = ROW_OPTION,
     .offset = ROW(config_target, dicom),
     .of = &dicom_table,
     .help = "Required for type dicom."},
    {.name = "dicomtls",
     .type = ROW_OPTION,
     .offset = ROW(config_target, dicomtls),
     .of = &dicomtls_table,
     .help = "Required for type dicomtls: DICOM over TLS 1.2 or 1.3."},
    {.name = "folder",
     .type = ROW_OPTION,
     .offset = ROW(config_target, folder),
     .of = &folder_table,
     .help = "Required for type folder."},
    {.name = "attempts",
     .type = ROW_INT,
     .offset = ROW(config_target, attempts),
     .def = "5",
     .min = 1,
     .max = 1000,
     .help = "After so many a delivery has failed and waits for a person."},
    {.name = "retrySeconds",
     .type = ROW_INT,
     .offset = ROW(config_target, retry_seconds),
     .def = "900",
     .min = 1,
     .max = DAY,
     .unit = "seconds",
     .help = "Between two attempts."},
    {.name = "associations",
     .type = ROW_INT,
     .offset = ROW(config_target, associations),
     .def = "1",
     .min = 1,
     .max = 32,
     .help = "At once."},
    {.name = "unaccepted",
     .type = ROW_ENUM,
     .offset = ROW(config_target, unaccepted),
     .def = "fail",
     .names = unaccepted,
     .help =
         "What an instance is whose SOP class or transfer syntax the target does not take: failed, "
         "or skipped (and recorded as not accepted)."},
    {.name = "paused",
     .type = ROW_BOOL,
     .offset = ROW(config_target, paused),
     .help = "Deliveries wait, without an attempt."},
    {.name = "pauseReason",
     .type = ROW_STRING,
     .offset = ROW(config_target, pause_reason),
     .max = 1024,
     .help = "Why it is paused."},
    CONTACT(config_target),
};
TABLE(config_target_table, "target", config_target, target_rows, "Where instances go.");

/* ---- modules --------------------------------------------------------------------------------- */

static const struct row module_rows[] = {
    NAME(config_module),
    {.name = "image",
     .type = ROW_STRING,
     .offset = ROW(config_module, image),
     .flags = ROW_REQUIRED,
     .min = 1,
     .max = 512,
     .check = check_image,
     .help = "Container image, with tag or digest."},
    {.name = "settings",
     .type = ROW_RAW,
     .offset = ROW(config_module, settings),
     .help = "JSON object that the module reads; a rule's settings win over it."},
    {.name = "environment",
     .type = ROW_PAIRS,
     .offset = ROW(config_module, environment),
     .max = 256,
     .help = "Environment variables of the container."},
    CONTACT(config_module),
};
TABLE(config_module_table, "module", config_module, module_rows,
      "A container that works on instances.");

/* ---- rules ----------------------------------------------------------------------------------- */

static const struct row step_rows[] = {
    {.name = "settings",
     .type = ROW_RAW,
     .offset = ROW(config_step_settings, settings),
     .help = "JSON object; its members win over those of the module."},
};
static const struct row_table step_table = {.name = "step",
                                            .size = sizeof(struct config_step_settings),
                                            .rows = step_rows,
                                            .n = ARRAY_LEN(step_rows),
                                            .closed = true};

static const struct row rule_rows[] = {
    NAME(config_rule),
    {.name = "rule",
     .type = ROW_STRING,
     .offset = ROW(config_rule, rule),
     .flags = ROW_REQUIRED,
     .max = RULES_TEXT_MAX,
     .help = "The expression: docs/rules.md."},
    {.name = "disabled",
     .type = ROW_BOOL,
     .offset = ROW(config_rule, disabled),
     .help = "As if it were not there."},
    {.name = "fallback",
     .type = ROW_BOOL,
     .offset = ROW(config_rule, fallback),
     .help = "Is looked at only when no other rule has matched."},
    {.name = "action",
     .type = ROW_ENUM,
     .offset = ROW(config_rule, action),
     .def = "route",
     .names = actions,
     .help = "route delivers to targets; process runs modules; both runs modules and delivers what "
             "they "
             "made; discard ends the series; notification only tells."},
    {.name = "trigger",
     .type = ROW_ENUM,
     .offset = ROW(config_rule, trigger),
     .def = "series",
     .names = triggers,
     .help = "Whether it acts on each series, or on the study when it is whole."},
    {.name = "priority",
     .type = ROW_ENUM,
     .offset = ROW(config_rule, priority),
     .def = "normal",
     .names = priorities,
     .help = "Of its deliveries and runs."},
    {.name = "late",
     .type = ROW_ENUM,
     .offset = ROW(config_rule, late),
     .def = "hold",
     .names = lates,
     .help =
         "What a rule that processes does when more comes of a series on which it has acted: hold "
         "waits for a person, again runs over all, ignore discards it."},
    {.name = "targets",
     .type = ROW_STRINGS,
     .offset = ROW(config_rule, targets),
     .max = 64,
     .help = "Names of targets, for route and both."},
    {.name = "modules",
     .type = ROW_STRINGS,
     .offset = ROW(config_rule, modules),
     .max = 32,
     .help = "Names of modules in order, for process and both."},
    {.name = "settings",
     .type = ROW_LIST,
     .offset = ROW(config_rule, settings),
     .max = 32,
     .of = &step_table,
     .help = "One for each of the modules, in order."},
    {.name = "keepSeconds",
     .type = ROW_INT,
     .offset = ROW(config_rule, keep_seconds),
     .def = "0",
     .min = 0,
     .max = 3650LL * DAY,
     .unit = "seconds",
     .help = "0 takes that of the defaults."},
    CONTACT(config_rule),
};
TABLE(config_rule_table, "rule", config_rule, rule_rows,
      "What happens to a series. All rules that match act, in the document's order.");

/* ---- the document ---------------------------------------------------------------------------- */

static const struct row document_rows[] = {
    {.name = "defaults",
     .type = ROW_OBJECT,
     .offset = ROW(config_document, defaults),
     .of = &config_defaults_table,
     .help = "What holds where a source or a rule says nothing."},
    {.name = "sources",
     .type = ROW_MAP,
     .offset = ROW(config_document, sources),
     .max = 10000,
     .of = &config_source_table,
     .help = "Who may send. The first that matches counts; without any everybody may."},
    {.name = "targets",
     .type = ROW_MAP,
     .offset = ROW(config_document, targets),
     .max = 1000,
     .of = &config_target_table,
     .help = "Where instances go."},
    {.name = "modules",
     .type = ROW_MAP,
     .offset = ROW(config_document, modules),
     .max = 1000,
     .of = &config_module_table,
     .help = "Containers that work on instances."},
    {.name = "rules",
     .type = ROW_MAP,
     .offset = ROW(config_document, rules),
     .max = 1000,
     .of = &config_rule_table,
     .help = "What happens to a series, in this order."},
};
TABLE(config_document_table, "configuration", config_document, document_rows,
      "The whole domain configuration.");
