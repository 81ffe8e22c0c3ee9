/* The table of transfer syntaxes: UID, name, explicit VR, big endian, deflated, encapsulated. */
#include "dicom/syntax.h"

#include <string.h>

/* clang-format off */
static const struct syntax table[] = {
    {"1.2.840.10008.1.2", "Implicit VR Little Endian", false, false, false, false},
    {"1.2.840.10008.1.2.1", "Explicit VR Little Endian", true, false, false, false},
    {"1.2.840.10008.1.2.1.98", "Encapsulated Uncompressed Explicit VR Little Endian", true, false, false, true},
    {"1.2.840.10008.1.2.1.99", "Deflated Explicit VR Little Endian", true, false, true, false},
    {"1.2.840.10008.1.2.2", "Explicit VR Big Endian", true, true, false, false},
    {"1.2.840.10008.1.2.4.50", "JPEG Baseline 8 bit", true, false, false, true},
    {"1.2.840.10008.1.2.4.51", "JPEG Extended 12 bit", true, false, false, true},
    {"1.2.840.10008.1.2.4.52", "JPEG Extended (Process 3 and 5)", true, false, false, true},
    {"1.2.840.10008.1.2.4.53", "JPEG Spectral Selection (Process 6 and 8)", true, false, false, true},
    {"1.2.840.10008.1.2.4.54", "JPEG Spectral Selection (Process 7 and 9)", true, false, false, true},
    {"1.2.840.10008.1.2.4.55", "JPEG Full Progression (Process 10 and 12)", true, false, false, true},
    {"1.2.840.10008.1.2.4.56", "JPEG Full Progression (Process 11 and 13)", true, false, false, true},
    {"1.2.840.10008.1.2.4.57", "JPEG Lossless", true, false, false, true},
    {"1.2.840.10008.1.2.4.58", "JPEG Lossless (Process 15)", true, false, false, true},
    {"1.2.840.10008.1.2.4.59", "JPEG Extended, Hierarchical (Process 16 and 18)", true, false, false, true},
    {"1.2.840.10008.1.2.4.60", "JPEG Extended, Hierarchical (Process 17 and 19)", true, false, false, true},
    {"1.2.840.10008.1.2.4.61", "JPEG Spectral Selection, Hierarchical (Process 20 and 22)", true, false, false, true},
    {"1.2.840.10008.1.2.4.62", "JPEG Spectral Selection, Hierarchical (Process 21 and 23)", true, false, false, true},
    {"1.2.840.10008.1.2.4.63", "JPEG Full Progression, Hierarchical (Process 24 and 26)", true, false, false, true},
    {"1.2.840.10008.1.2.4.64", "JPEG Full Progression, Hierarchical (Process 25 and 27)", true, false, false, true},
    {"1.2.840.10008.1.2.4.65", "JPEG Lossless, Hierarchical (Process 28)", true, false, false, true},
    {"1.2.840.10008.1.2.4.66", "JPEG Lossless, Hierarchical (Process 29)", true, false, false, true},
    {"1.2.840.10008.1.2.4.70", "JPEG Lossless SV1", true, false, false, true},
    {"1.2.840.10008.1.2.4.80", "JPEG-LS Lossless", true, false, false, true},
    {"1.2.840.10008.1.2.4.81", "JPEG-LS Near-lossless", true, false, false, true},
    {"1.2.840.10008.1.2.4.90", "JPEG 2000 Lossless", true, false, false, true},
    {"1.2.840.10008.1.2.4.91", "JPEG 2000", true, false, false, true},
    {"1.2.840.10008.1.2.4.92", "JPEG 2000 Multi-component Lossless", true, false, false, true},
    {"1.2.840.10008.1.2.4.93", "JPEG 2000 Multi-component", true, false, false, true},
    {"1.2.840.10008.1.2.4.94", "JPIP Referenced", true, false, false, false},
    {"1.2.840.10008.1.2.4.95", "JPIP Referenced Deflate", true, false, true, false},
    {"1.2.840.10008.1.2.4.100", "MPEG2 Main Profile / Main Level", true, false, false, true},
    {"1.2.840.10008.1.2.4.100.1", "MPEG2 Main Profile / Main Level, fragmentable", true, false, false, true},
    {"1.2.840.10008.1.2.4.101", "MPEG2 Main Profile / High Level", true, false, false, true},
    {"1.2.840.10008.1.2.4.101.1", "MPEG2 Main Profile / High Level, fragmentable", true, false, false, true},
    {"1.2.840.10008.1.2.4.102", "MPEG-4 High Profile / Level 4.1", true, false, false, true},
    {"1.2.840.10008.1.2.4.102.1", "MPEG-4 High Profile / Level 4.1, fragmentable", true, false, false, true},
    {"1.2.840.10008.1.2.4.103", "MPEG-4 BD-compatible High Profile / Level 4.1", true, false, false, true},
    {"1.2.840.10008.1.2.4.103.1", "MPEG-4 BD-compatible / Level 4.1, fragmentable", true, false, false, true},
    {"1.2.840.10008.1.2.4.104", "MPEG-4 High Profile / Level 4.2 For 2D Video", true, false, false, true},
    {"1.2.840.10008.1.2.4.104.1", "MPEG-4 High Profile / Level 4.2 2D, fragmentable", true, false, false, true},
    {"1.2.840.10008.1.2.4.105", "MPEG-4 High Profile / Level 4.2 For 3D Video", true, false, false, true},
    {"1.2.840.10008.1.2.4.105.1", "MPEG-4 High Profile / Level 4.2 3D, fragmentable", true, false, false, true},
    {"1.2.840.10008.1.2.4.106", "MPEG-4 Stereo High Profile / Level 4.2", true, false, false, true},
    {"1.2.840.10008.1.2.4.106.1", "MPEG-4 Stereo High Profile / Level 4.2, fragmentable", true, false, false, true},
    {"1.2.840.10008.1.2.4.107", "HEVC/H.265 Main Profile / Level 5.1", true, false, false, true},
    {"1.2.840.10008.1.2.4.108", "HEVC/H.265 Main 10 Profile / Level 5.1", true, false, false, true},
    {"1.2.840.10008.1.2.4.110", "JPEG XL Lossless", true, false, false, true},
    {"1.2.840.10008.1.2.4.111", "JPEG XL JPEG Recompression", true, false, false, true},
    {"1.2.840.10008.1.2.4.112", "JPEG XL", true, false, false, true},
    {"1.2.840.10008.1.2.4.201", "HTJ2K Lossless", true, false, false, true},
    {"1.2.840.10008.1.2.4.202", "HTJ2K Lossless RPCL", true, false, false, true},
    {"1.2.840.10008.1.2.4.203", "HTJ2K", true, false, false, true},
    {"1.2.840.10008.1.2.4.204", "JPIP HTJ2K Referenced", true, false, false, false},
    {"1.2.840.10008.1.2.4.205", "JPIP HTJ2K Referenced Deflate", true, false, true, false},
    {"1.2.840.10008.1.2.5", "RLE Lossless", true, false, false, true},
    {"1.2.840.10008.1.2.7.1", "SMPTE ST 2110-20 Uncompressed Progressive Active Video", true, false, false, false},
    {"1.2.840.10008.1.2.7.2", "SMPTE ST 2110-20 Uncompressed Interlaced Active Video", true, false, false, false},
    {"1.2.840.10008.1.2.7.3", "SMPTE ST 2110-30 PCM Digital Audio", true, false, false, false},
    {"1.2.840.10008.1.2.8.1", "Deflated Image Frame Compression", true, false, false, true},
    {"1.2.840.113619.5.2", "Implicit VR LE, big-endian pixels (GE private)", false, false, false, false},
};
/* clang-format on */

static const struct syntax unknown = {"", "unknown", true, false, false, true};

static const struct syntax *lookup(const char *uid)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (!strcmp(table[i].uid, uid))
            return &table[i];
    }
    return NULL;
}

const struct syntax *syntax_find(const char *uid)
{
    const struct syntax *s = lookup(uid);
    return s ? s : &unknown;
}

bool syntax_known(const char *uid)
{
    return lookup(uid) != NULL;
}

bool syntax_uncompressed(const char *uid)
{
    const struct syntax *s = lookup(uid);
    return s && (!strcmp(uid, SYNTAX_IMPLICIT_LE) || !strcmp(uid, SYNTAX_EXPLICIT_LE) ||

                 !strcmp(uid, SYNTAX_EXPLICIT_BE));
}
