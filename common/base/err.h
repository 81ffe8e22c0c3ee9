/*
 * Errors as values. A fallible call returns 0 or a negative number and fills the struct err that
 * the caller owns. No allocation, no thread-local: an error may be handed to another thread.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#ifdef __cplusplus
extern "C" {
#endif

#define MUST_CHECK       __attribute__((warn_unused_result))
#define PRINTF_LIKE(a, b) __attribute__((format(printf, a, b)))

/* What the caller may do about it. */
enum err_kind {
    ERR_NONE = 0,
    ERR_RETRY,  /* the same call may succeed later (network, disk full, broker away) */
    ERR_REJECT, /* this input will never succeed; neighbours are not affected */
    ERR_FATAL,  /* this process cannot go on (configuration, fenced, broken invariant) */
};

struct err {
    enum err_kind kind;
    int code;       /* errno, DICOM status, HTTP status, librdkafka code ...; 0 if none */
    char text[256]; /* for people; never patient data; always NUL-terminated */
};

/* Fills *e (may be NULL) and returns -1, so that "return err_set(...)" reads well. */
int err_set(struct err *e, enum err_kind kind, int code, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* As err_set with ": strerror(errno_value)" appended and code = errno_value. */
int err_errno(struct err *e, enum err_kind kind, int errno_value, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* Puts "prefix: " before the text that is already there; returns -1. */
int err_wrap(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

void err_clear(struct err *e);

#ifdef __cplusplus
}
#endif
#endif
