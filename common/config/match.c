/* Which source a peer is: globs of AE titles, networks, certificates. */
#include <arpa/inet.h>
#include <strings.h>

#include "config/config_priv.h"

bool config_glob(const char *pattern, const char *text)
{
    const char *star = NULL, *again = NULL;
    while (*text != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            again = text;
        } else if (*pattern == '?' || *pattern == *text) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star + 1;
            text = ++again;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

/* ---- networks -------------------------------------------------------------------------------- */

/* An IPv4 peer on an IPv6 socket is an IPv4 peer. */
static void unmap(struct config_network *n)
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
    if (n->family != AF_INET6 || n->bits < 96 || memcmp(n->address, mapped, sizeof mapped) != 0)
        return;
    memmove(n->address, n->address + 12, 4);
    n->family = AF_INET;
    n->bits -= 96;
}

int config_network(struct config_network *out, const char *text)
{
    char address[64];
    const char *slash = strchr(text, '/');
    size_t n = slash != NULL ? (size_t)(slash - text) : strlen(text);
    int64_t bits;
    if (n >= sizeof address)
        return -1;
    memcpy(address, text, n);
    address[n] = '\0';
    *out = (struct config_network){.family = strchr(address, ':') != NULL ? AF_INET6 : AF_INET};
    out->bits = out->family == AF_INET6 ? 128 : 32;
    if (inet_pton(out->family, address, out->address) != 1)
        return -1;
    if (slash != NULL) {
        if (str_int64(&bits, slash + 1, 0, out->bits) != 0)
            return -1;
        out->bits = (int)bits;
    }
    unmap(out);
    return 0;
}

static bool within(const struct config_network *net, const struct config_network *peer)
{
    int bytes = net->bits / 8, rest = net->bits % 8;
    if (net->family != peer->family || memcmp(net->address, peer->address, (size_t)bytes) != 0)
        return false;
    return rest == 0 || (net->address[bytes] ^ peer->address[bytes]) >> (8 - rest) == 0;
}

/* ---- sources --------------------------------------------------------------------------------- */

static bool match_address(const struct row_strings *list, const char *address)
{
    struct config_network net, peer;
    if (list->n == 0)
        return true;
    if (address == NULL || config_network(&peer, address) != 0)
        return false;
    for (size_t i = 0; i < list->n; i++)
        if (config_network(&net, list->items[i]) == 0 && within(&net, &peer))
            return true;
    return false;
}

static bool match_certificate(const struct row_strings *list, const struct config_sender *sender)
{
    for (size_t i = 0; i < list->n; i++) {
        const char *want = list->items[i];
        if (sender->certificate_sha256 != NULL && strcasecmp(want, sender->certificate_sha256) == 0)
            return true;
        if (sender->certificate_name != NULL && strcmp(want, sender->certificate_name) == 0)
            return true;
    }
    return list->n == 0;
}

static bool match_glob(const struct row_strings *list, const char *text)
{
    for (size_t i = 0; text != NULL && i < list->n; i++)
        if (config_glob(list->items[i], text))
            return true;
    return list->n == 0;
}

static enum config_mismatch mismatch(const struct config_source *s,
                                     const struct config_sender *sender)
{
    if (!match_address(&s->addresses, sender->address) ||
        !match_certificate(&s->certificates, sender))
        return MISMATCH_ADDRESS;
    if (!match_glob(&s->calling_aes, sender->calling_ae))
        return MISMATCH_CALLING;
    return match_glob(&s->called_aes, sender->called_ae) ? MISMATCH_NONE : MISMATCH_CALLED;
}

const struct config_source *config_match_source(const struct config_snapshot *s,
                                                const struct config_sender *sender,
                                                enum config_mismatch *why)
{
    static const struct config_source any = {
        .name = "any", .accept = true, .completion = COMPLETION_QUIET, .grace_seconds = -1};
    enum config_mismatch ignored, nearest = MISMATCH_NONE;
    why = why != NULL ? why : &ignored;
    *why = MISMATCH_NONE;
    if (s->sources.n == 0)
        return &any;
    for (size_t i = 0; i < s->sources.n; i++) {
        const struct config_source *source = rows_at(struct config_source, &s->sources, i);
        enum config_mismatch m = mismatch(source, sender);
        if (m == MISMATCH_NONE && source->accept)
            return source;
        if (m == MISMATCH_NONE) {
            *why = MISMATCH_REFUSED;
            return NULL;
        }
        nearest = m > nearest ? m : nearest;
    }
    *why = nearest;
    return NULL;
}
