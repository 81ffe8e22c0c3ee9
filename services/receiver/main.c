/* talaria-receiver: takes DICOM images in, stores them and announces them. */
#include "receiver/receiver.h"

static const struct daemon_part *const parts[] = {&receiver_listeners, NULL};

int main(int argc, char **argv)
{
    const struct service service = {
        .name = "receiver",
        .summary = "takes DICOM images in, stores them and announces them",
        .settings = receiver_rows,
        .n_settings = receiver_rows_n,
        .settings_size = sizeof(struct receiver_settings),
        .parts = parts,
    };
    return daemon_main(&service, argc, argv);
}
