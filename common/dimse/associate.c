/*
 * A-ASSOCIATE PDUs (PS3.8 §9.3.2, 9.3.3, annex D.3) as bytes: the guard in front of DCMTK's parser,
 * the request that we send ourselves (DCMTK's requestor insists on its own connect: IPv4 first, one
 * process-wide timeout, no open socket), the answer to it, and the items that DCMTK does not write.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "dicom/part10.h"
#include "dimse/dimse_priv.h"

#define APPLICATION_CONTEXT "1.2.840.10008.3.1.1.1"
#define FIXED               74 /* PDU header, version, reserved, AE titles, reserved */

enum {
    ITEM_APPLICATION = 0x10,
    ITEM_CONTEXT_RQ = 0x20,
    ITEM_CONTEXT_AC = 0x21,
    ITEM_ABSTRACT = 0x30,
    ITEM_TRANSFER = 0x40,
    ITEM_USER = 0x50,
    ITEM_MAX_LENGTH = 0x51,
    ITEM_CLASS_UID = 0x52,
    ITEM_WINDOW = 0x53,
    ITEM_ROLE = 0x54,
    ITEM_VERSION_NAME = 0x55,
    ITEM_EXTENDED = 0x56,
    ITEM_IDENTITY = 0x58,
    ITEM_IDENTITY_AC = 0x59,
};

/* type, reserved, 16-bit length, body */
struct item {
    uint8_t type;
    const uint8_t *p;
    size_t n;
};

struct cursor {
    const uint8_t *p;
    size_t n;
};

/* 1: *it is the next item; 0: at the end; -1: it does not fit. */
static int next_item(struct cursor *c, struct item *it)
{
    if (c->n == 0)
        return 0;
    if (c->n < 4)
        return -1;
    size_t length = get_be16(c->p + 2);
    if (length > c->n - 4)
        return -1;
    *it = (struct item){c->p[0], c->p + 4, length};
    c->p += 4 + length;
    c->n -= 4 + length;
    return 1;
}

/* ---- the guard ---- */
struct check {
    struct associate_request *out;
    bool seen[256]; /* context ids */
    unsigned contexts, applications, users, identities;
    const char *why;
};

static bool no(struct check *k, const char *why)
{
    if (!k->why)
        k->why = why;
    return false;
}

static bool check_context(struct check *k, const struct item *it)
{
    unsigned abstracts = 0, transfers = 0;
    struct item sub;
    int more;

    if (it->n < 4)
        return no(k, "presentation context too short");
    if (++k->contexts > DIMSE_CONTEXTS)
        return no(k, "more than 128 presentation contexts");
    if (k->seen[it->p[0]])
        return no(k, "presentation context id used twice");
    k->seen[it->p[0]] = true;
    struct cursor c = {it->p + 4, it->n - 4};
    while ((more = next_item(&c, &sub)) > 0) {
        if (sub.type != ITEM_ABSTRACT && sub.type != ITEM_TRANSFER)
            continue;
        if (sub.n == 0 || sub.n > 64 || sub.p[0] <= ' ')
            return no(k, "syntax UID");
        if (sub.type == ITEM_ABSTRACT)
            abstracts++;
        else
            transfers++;
    }
    if (more < 0)
        return no(k, "presentation context item length");
    if (abstracts != 1)
        return no(k, "presentation context without one abstract syntax");
    if (transfers == 0 || transfers > DIMSE_MAX_SYNTAXES)
        return no(k, "number of transfer syntaxes of a presentation context");
    return true;
}

/* A UID with a 16-bit length of its own, then at least rest more bytes. */
static bool inner_uid(const struct item *it, size_t rest)
{
    return it->n >= 2 + rest && get_be16(it->p) <= it->n - 2 - rest;
}

/* PS3.7 D.3.3.7: primary field, then a secondary one, which only type 2 may fill. */
static bool check_identity(const struct item *it)
{
    if (it->n < 6)
        return false;
    size_t primary = get_be16(it->p + 2);
    if (primary > it->n - 6)
        return false;
    size_t secondary = get_be16(it->p + 4 + primary);
    return primary + secondary + 6 == it->n && (secondary == 0 || it->p[0] == 2);
}

static bool check_user_item(struct check *k, const struct item *it)
{
    switch (it->type) {
    case ITEM_MAX_LENGTH:
        return it->n == 4 || no(k, "maximum length item");
    case ITEM_CLASS_UID:
    case ITEM_VERSION_NAME:
        return it->n <= 64 || no(k, "implementation item length");
    case ITEM_WINDOW:
        if (it->n != 4)
            return no(k, "asynchronous operations window item");
        k->out->asks_window = true;
        k->out->window = get_be16(it->p);
        return true;
    case ITEM_ROLE:
        return inner_uid(it, 2) || no(k, "role selection item");
    case ITEM_EXTENDED:
        return inner_uid(it, 0) || no(k, "extended negotiation item");
    case ITEM_IDENTITY:
        if (++k->identities > 1)
            return no(k, "more than one user identity");
        return check_identity(it) || no(k, "user identity item");
    case ITEM_IDENTITY_AC:
        return no(k, "user identity answer in a request");
    default:
        return true;
    }
}

static bool check_item(struct check *k, const struct item *it)
{
    struct item sub;
    int more;

    switch (it->type) {
    case ITEM_APPLICATION:
        if (++k->applications > 1 || it->n > 64)
            return no(k, "application context item");
        return true;
    case ITEM_CONTEXT_RQ:
        return check_context(k, it);
    case ITEM_CONTEXT_AC:
        return no(k, "presentation context answer in a request");
    case ITEM_USER:
        if (++k->users > 1)
            return no(k, "more than one user information item");
        struct cursor c = {it->p, it->n};
        while ((more = next_item(&c, &sub)) > 0)
            if (!check_user_item(k, &sub))
                return false;
        return more == 0 || no(k, "user information item length");
    default:
        return true;
    }
}

enum associate_verdict associate_check(const uint8_t *p, size_t n, struct associate_request *out,
                                       struct err *e)
{
    struct check k = {.out = out};
    struct item it;
    int more;

    *out = (struct associate_request){0};
    if (n < FIXED || p[0] != PDU_ASSOCIATE_RQ || get_be32(p + 2) != n - 6) {
        (void)err_set(e, ERR_REJECT, 0, "A-ASSOCIATE-RQ: length");
        return ASSOCIATE_MALFORMED;
    }
    if (!(get_be16(p + 6) & 1)) {
        (void)err_set(e, ERR_REJECT, 0, "A-ASSOCIATE-RQ: protocol version");
        return ASSOCIATE_PROTOCOL;
    }
    struct cursor c = {p + FIXED, n - FIXED};
    while ((more = next_item(&c, &it)) > 0)
        if (!check_item(&k, &it))
            break;
    if (more < 0)
        (void)no(&k, "item length");
    if (k.contexts == 0)
        (void)no(&k, "no presentation context");
    if (!k.why)
        return ASSOCIATE_OK;
    (void)err_set(e, ERR_REJECT, 0, "A-ASSOCIATE-RQ: %s", k.why);
    return ASSOCIATE_MALFORMED;
}

/* ---- writing ---- */
/* Begins an item; item_end fills in its length. */
static size_t item_begin(struct str *s, uint8_t type)
{
    str_append(s, (uint8_t[4]){type, 0, 0, 0}, 4);
    return s->len;
}

static void item_end(struct str *s, size_t body)
{
    put_be16((uint8_t *)s->data + body - 2, (unsigned)(s->len - body));
}

static void item_text(struct str *s, uint8_t type, const char *text)
{
    size_t body = item_begin(s, type);

    str_puts(s, text);
    item_end(s, body);
}

static void write_title(struct str *s, const char *title)
{
    char padded[16];
    size_t n = strnlen(title, sizeof padded);

    memset(padded, ' ', sizeof padded);
    memcpy(padded, title, n);
    str_append(s, padded, sizeof padded);
}

static void write_window(struct str *s, unsigned invoked, unsigned performed)
{
    uint8_t body[4];
    size_t at = item_begin(s, ITEM_WINDOW);

    put_be16(body, invoked);
    put_be16(body + 2, performed);
    str_append(s, body, sizeof body);
    item_end(s, at);
}

static void write_user(struct str *s, unsigned window)
{
    uint8_t max[4];
    size_t user = item_begin(s, ITEM_USER), at = item_begin(s, ITEM_MAX_LENGTH);

    put_be32(max, DIMSE_PDU_MAX);
    str_append(s, max, sizeof max);
    item_end(s, at);
    item_text(s, ITEM_CLASS_UID, PART10_IMPLEMENTATION_UID);
    if (window > 1)
        write_window(s, window, 1);
    item_text(s, ITEM_VERSION_NAME, DIMSE_VERSION_NAME);
    item_end(s, user);
}

void associate_write_rq(struct str *out, const struct dimse_dial *d)
{
    static const uint8_t zero[32];
    static const uint8_t head[10] = {PDU_ASSOCIATE_RQ, 0, 0, 0, 0, 0, 0, 1, 0, 0};
    size_t start = out->len;

    str_append(out, head, sizeof head);
    write_title(out, d->called_ae);
    write_title(out, d->calling_ae);
    str_append(out, zero, sizeof zero);
    item_text(out, ITEM_APPLICATION, APPLICATION_CONTEXT);
    for (unsigned i = 0; i < d->n && i < DIMSE_CONTEXTS; i++) {
        const struct dimse_proposal *p = &d->proposals[i];
        size_t context = item_begin(out, ITEM_CONTEXT_RQ);

        str_append(out, (uint8_t[4]){(uint8_t)(2 * i + 1), 0, 0, 0}, 4);
        item_text(out, ITEM_ABSTRACT, p->abstract);
        for (unsigned j = 0; j < ARRAY_LEN(p->syntaxes) && p->syntaxes[j]; j++)
            item_text(out, ITEM_TRANSFER, p->syntaxes[j]);
        item_end(out, context);
    }
    write_user(out, d->window);
    put_be32((uint8_t *)out->data + start + 2, (uint32_t)(out->len - start - 6));
}

int associate_finish_ac(struct str *ac, const uint8_t *rq, unsigned window, struct err *e)
{
    uint8_t *p = (uint8_t *)ac->data;
    struct item it;

    if (ac->len < FIXED || p[0] != PDU_ASSOCIATE_AC)
        return err_set(e, ERR_FATAL, 0, "DCMTK wrote no A-ASSOCIATE-AC");
    memcpy(p + 10, rq + 10, FIXED - 10); /* table 9-17: as in the request */
    if (window <= 1)
        return 0;
    struct cursor c = {p + FIXED, ac->len - FIXED};
    while (next_item(&c, &it) > 0) {
        if (it.type != ITEM_USER || c.n != 0) /* DCMTK writes it last */
            continue;
        size_t at = (size_t)(it.p - p);
        write_window(ac, window, 1); /* what we let the requestor invoke comes first */
        item_end(ac, at);
        put_be32((uint8_t *)ac->data + 2, (uint32_t)(ac->len - 6));
        return 0;
    }
    return err_set(e, ERR_FATAL, 0, "DCMTK's A-ASSOCIATE-AC has no user information");
}

/* ---- the answer to our request ---- */
/* A UID without the padding and spaces that some peers add. */
static struct slice uid_of(const struct item *it)
{
    struct slice s = {(const char *)it->p, it->n};
    const char *nul = memchr(it->p, 0, it->n);

    if (nul)
        s.n = (size_t)(nul - s.p);
    return slice_trim(s, " ");
}

static int read_context(const struct item *it, struct dimse_context *contexts, unsigned n,
                        struct err *e)
{
    struct item sub;

    if (it->n < 4)
        return err_set(e, ERR_RETRY, 0, "A-ASSOCIATE-AC: presentation context too short");
    if (it->p[2] != 0)
        return 0; /* refused; what follows is not significant */
    unsigned i = (unsigned)(it->p[0] - 1) / 2;
    if (!(it->p[0] & 1) || i >= n)
        return err_set(e, ERR_RETRY, 0, "A-ASSOCIATE-AC: context %d was not proposed", it->p[0]);
    struct cursor c = {it->p + 4, it->n - 4};
    while (next_item(&c, &sub) > 0) {
        if (sub.type != ITEM_TRANSFER)
            continue;
        struct slice uid = uid_of(&sub);
        for (unsigned j = 0; j < contexts[i].n_syntaxes; j++)
            if (slice_is(uid, contexts[i].syntaxes[j]))
                contexts[i].accepted = contexts[i].syntaxes[j];
    }
    return 0; /* accepted with a syntax that we did not propose: not accepted */
}

static void read_user(const struct item *it, struct associate_answer *out)
{
    struct cursor c = {it->p, it->n};
    struct item sub;

    while (next_item(&c, &sub) > 0) {
        if (sub.type == ITEM_MAX_LENGTH && sub.n == 4)
            out->max_pdu = get_be32(sub.p);
        else if (sub.type == ITEM_WINDOW && sub.n == 4)
            out->window = get_be16(sub.p) ? get_be16(sub.p) : UINT16_MAX; /* 0 is unlimited */
    }
}

int associate_read_ac(const uint8_t *p, size_t n, struct dimse_context *contexts,
                      unsigned n_contexts, struct associate_answer *out, struct err *e)
{
    struct associate_answer answer = {.max_pdu = 0, .window = 1};
    struct item it;
    int more;

    if (n < FIXED || p[0] != PDU_ASSOCIATE_AC || get_be32(p + 2) != n - 6)
        return err_set(e, ERR_RETRY, 0, "A-ASSOCIATE-AC: length");
    struct cursor c = {p + FIXED, n - FIXED};
    while ((more = next_item(&c, &it)) > 0) {
        if (it.type == ITEM_CONTEXT_AC && read_context(&it, contexts, n_contexts, e))
            return -1;
        if (it.type == ITEM_USER)
            read_user(&it, &answer);
    }
    if (more < 0)
        return err_set(e, ERR_RETRY, 0, "A-ASSOCIATE-AC: item length");
    *out = answer;
    return 0;
}
