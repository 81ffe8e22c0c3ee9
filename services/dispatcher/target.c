/* The table of target types, and what they share. */
#include "dispatcher/target.h"

#include <errno.h>

#include "base/mem.h"

static const struct target_type *const types[] = {
    &target_dicom, &target_dicomtls, &target_dummy, &target_fail, &target_folder,
};

const struct target_type *target_type_of(const struct config_target *t)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if ((int)types[i]->type == t->type)
            return types[i];
    return NULL;
}

const struct manifest_member *transfer_member(const struct transfer *t, int64_t position)
{
    return rows_at(struct manifest_member, &t->manifest->members, position);
}

bool transfer_late(struct transfer *t, struct err *e)
{
    if (!t->patient || e->kind != ERR_REJECT || e->code != ENOENT)
        return false;
    t->late++;
    err_clear(e);
    return true;
}

int transfer_open_object(const struct transfer *t, const struct manifest_member *m,
                         struct objstore_reader **out, struct err *e)
{
    int64_t size;
    if (objstore_read_begin(t->store, m->key, out, &size, e))
        return -1;
    if (size == m->size)
        return 0;
    objstore_read_end(*out);
    *out = NULL;
    return err_set(e, ERR_REJECT, EIO, "the object has %lld bytes instead of %lld", (long long)size,
                   (long long)m->size);
}
