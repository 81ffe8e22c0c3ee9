/* Ids from getrandom(2). */
#include "base/id.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/clock.h"

void id_random(void *out, size_t n)
{
    unsigned char *p = out;
    while (n) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno != EINTR)
            abort();
        if (got > 0) {
            p += got;
            n -= (size_t)got;
        }
    }
}

void id_receipt(char out[ID_RECEIPT])
{
    uint64_t bits;
    id_random(&bits, sizeof bits);
    snprintf(out, ID_RECEIPT, "%016llx", (unsigned long long)bits);
}

void id_uuid7(char out[ID_UUID])
{
    uint8_t r[10];
    id_random(r, sizeof r);
    uint64_t ms = (uint64_t)clock_wall_ms();
    snprintf(out, ID_UUID, "%08x-%04x-7%x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             (unsigned)(ms >> 16), (unsigned)(ms & 0xffff), r[0] & 15, r[1], (r[2] & 0x3f) | 0x80,
             r[3], r[4], r[5], r[6], r[7], r[8], r[9]);
}

bool id_is_hex(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
            return false;
    return s[n] == '\0';
}
