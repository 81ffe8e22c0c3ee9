/* talaria-cleaner: deletes what is proven settled, and announces what nobody knows. */
#include "cleaner/cleaner.h"

static const struct daemon_part *const parts[] = {&cleaner_part, NULL};

int main(int argc, char **argv)
{
    const struct service service = {
        .name = "cleaner",
        .summary =
            "deletes what the ledger proves settled, and announces objects that nobody knows",
        .settings = cleaner_rows,
        .n_settings = cleaner_rows_n,
        .settings_size = sizeof(struct cleaner_settings),
        .parts = parts,
    };
    return daemon_main(&service, argc, argv);
}
