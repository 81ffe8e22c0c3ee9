/* Which files share an association, and the counting of the answers. */
#include <string.h>

#include "talaria/cli.h"
#include "talaria/send.h"

static int proposal_of(const struct send_file *f, struct dimse_proposal *proposals, unsigned *n)
{
    for (unsigned i = 0; i < *n; i++)
        if (strcmp(proposals[i].abstract, f->sop_class) == 0 &&
            strcmp(proposals[i].syntaxes[0], f->syntax) == 0)
            return (int)i;
    if (*n == DIMSE_CONTEXTS)
        return -1;
    proposals[*n] = (struct dimse_proposal){f->sop_class, {f->syntax}};
    return (int)(*n)++;
}

size_t send_board(struct send_file *files, size_t n, size_t from, struct dimse_proposal *proposals,
                  unsigned *n_proposals)
{
    *n_proposals = 0;
    for (; from < n; from++) {
        int p = proposal_of(&files[from], proposals, n_proposals);
        if (p < 0)
            break;
        files[from].proposal = (unsigned)p;
    }
    return from;
}

static bool is_stored(int status)
{
    return status == 0 || (status & 0xF000) == 0xB000;
}

void send_count(struct send_result *r, int status, const struct send_file *f)
{
    size_t i = 0;
    *(status != SEND_REFUSED && is_stored(status) ? &r->stored : &r->failed) += 1;
    while (i < r->n_statuses && r->statuses[i].status != status)
        i++;
    if (i == SEND_STATUSES)
        return; /* the sums still count it */
    if (i == r->n_statuses) {
        r->statuses[i] = (struct send_status){.status = status};
        str_copy(r->statuses[i].example, sizeof r->statuses[i].example, f->sop_class);
        r->n_statuses++;
    }
    r->statuses[i].n++;
}

void send_result_text(struct str *out, const struct send_result *r, int64_t ms)
{
    char span[FORMAT_SPAN];
    str_printf(out, "%lld stored, %lld failed", (long long)r->stored, (long long)r->failed);
    if (r->skipped)
        str_printf(out, ", %lld other files left out", (long long)r->skipped);
    str_printf(out, " in %s\n", format_span(span, ms));
    for (size_t i = 0; i < r->n_statuses; i++) {
        const struct send_status *s = &r->statuses[i];
        if (s->status == 0)
            continue;
        if (s->status == SEND_REFUSED)
            str_printf(out, "  %lld refused by the node: SOP class %s or its transfer syntax\n",
                       (long long)s->n, s->example);
        else
            str_printf(out, "  %lld answered with status %04X\n", (long long)s->n,
                       (unsigned)s->status);
    }
}

void send_result_json(struct str *out, const struct send_result *r, int64_t ms)
{
    str_printf(out, "{\"stored\":%lld,\"failed\":%lld,\"skipped\":%lld,\"milliseconds\":%lld,",
               (long long)r->stored, (long long)r->failed, (long long)r->skipped, (long long)ms);
    str_puts(out, "\"statuses\":{");
    for (size_t i = 0; i < r->n_statuses; i++) {
        const struct send_status *s = &r->statuses[i];
        str_puts(out, i ? "," : "");
        if (s->status == SEND_REFUSED)
            str_printf(out, "\"refused\":%lld", (long long)s->n);
        else
            str_printf(out, "\"%04X\":%lld", (unsigned)s->status, (long long)s->n);
    }
    str_puts(out, "}}\n");
}

int send_address(char *host, size_t cap, int *port, const char *text)
{
    const char *colon = strrchr(text, ':');
    int64_t number;
    if (!colon || colon == text || str_int64(&number, colon + 1, 1, 65535))
        return -1;
    size_t n = (size_t)(colon - text);
    if (text[0] == '[') {
        if (n < 3 || text[n - 1] != ']')
            return -1;
        text++;
        n -= 2;
    } else if (memchr(text, ':', n)) {
        return -1; /* an IPv6 address needs its brackets */
    }
    if (n >= cap)
        return -1;
    memcpy(host, text, n);
    host[n] = '\0';
    *port = (int)number;
    return 0;
}
