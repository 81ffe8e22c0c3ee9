/* talaria-receiver: takes DICOM images in, stores them and announces them. */
#include "receiver/receiver.h"

static const struct daemon_part *const parts[] = {&receiver_listeners, NULL};

static const struct service service = {
    .name = "receiver",
    .summary = "takes DICOM images in, stores them and announces them",
    .settings = receiver_rows,
    .settings_size = sizeof(struct receiver_settings),
    .parts = parts,
};

int main(int argc, char **argv)
{
    struct service s = service;
    s.n_settings = receiver_rows_n;
    return daemon_main(&s, argc, argv);
}
