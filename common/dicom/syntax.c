/* The table of transfer syntaxes (PS3.6 Annex A, and one private one that is met). */
#include "dicom/syntax.h"

#include <string.h>

#define IMPLICIT false, false, false, false
#define EXPLICIT true, false, false, false
#define BIG      true, true, false, false
#define DEFLATED true, false, true, false
#define ENCAPS   true, false, false, true

/* clang-format off */
static const struct syntax table[] = {
    {"1.2.840.10008.1.2", "Implicit VR Little Endian", IMPLICIT},
    {"1.2.840.10008.1.2.1", "Explicit VR Little Endian", EXPLICIT},
    {"1.2.840.10008.1.2.1.98", "Encapsulated Uncompressed Explicit VR Little Endian", ENCAPS},
    {"1.2.840.10008.1.2.1.99", "Deflated Explicit VR Little Endian", DEFLATED},
    {"1.2.840.10008.1.2.2", "Explicit VR Big Endian", BIG},
    {"1.2.840.10008.1.2.4.50", "JPEG Baseline 8 bit", ENCAPS},
    {"1.2.840.10008.1.2.4.51", "JPEG Extended 12 bit", ENCAPS},
    {"1.2.840.10008.1.2.4.52", "JPEG Extended (Process 3 and 5)", ENCAPS},
    {"1.2.840.10008.1.2.4.53", "JPEG Spectral Selection (Process 6 and 8)", ENCAPS},
    {"1.2.840.10008.1.2.4.54", "JPEG Spectral Selection (Process 7 and 9)", ENCAPS},
    {"1.2.840.10008.1.2.4.55", "JPEG Full Progression (Process 10 and 12)", ENCAPS},
    {"1.2.840.10008.1.2.4.56", "JPEG Full Progression (Process 11 and 13)", ENCAPS},
    {"1.2.840.10008.1.2.4.57", "JPEG Lossless", ENCAPS},
    {"1.2.840.10008.1.2.4.58", "JPEG Lossless (Process 15)", ENCAPS},
    {"1.2.840.10008.1.2.4.59", "JPEG Extended, Hierarchical (Process 16 and 18)", ENCAPS},
    {"1.2.840.10008.1.2.4.60", "JPEG Extended, Hierarchical (Process 17 and 19)", ENCAPS},
    {"1.2.840.10008.1.2.4.61", "JPEG Spectral Selection, Hierarchical (Process 20 and 22)", ENCAPS},
    {"1.2.840.10008.1.2.4.62", "JPEG Spectral Selection, Hierarchical (Process 21 and 23)", ENCAPS},
    {"1.2.840.10008.1.2.4.63", "JPEG Full Progression, Hierarchical (Process 24 and 26)", ENCAPS},
    {"1.2.840.10008.1.2.4.64", "JPEG Full Progression, Hierarchical (Process 25 and 27)", ENCAPS},
    {"1.2.840.10008.1.2.4.65", "JPEG Lossless, Hierarchical (Process 28)", ENCAPS},
    {"1.2.840.10008.1.2.4.66", "JPEG Lossless, Hierarchical (Process 29)", ENCAPS},
    {"1.2.840.10008.1.2.4.70", "JPEG Lossless SV1", ENCAPS},
    {"1.2.840.10008.1.2.4.80", "JPEG-LS Lossless", ENCAPS},
    {"1.2.840.10008.1.2.4.81", "JPEG-LS Near-lossless", ENCAPS},
    {"1.2.840.10008.1.2.4.90", "JPEG 2000 Lossless", ENCAPS},
    {"1.2.840.10008.1.2.4.91", "JPEG 2000", ENCAPS},
    {"1.2.840.10008.1.2.4.92", "JPEG 2000 Multi-component Lossless", ENCAPS},
    {"1.2.840.10008.1.2.4.93", "JPEG 2000 Multi-component", ENCAPS},
    {"1.2.840.10008.1.2.4.94", "JPIP Referenced", EXPLICIT},
    {"1.2.840.10008.1.2.4.95", "JPIP Referenced Deflate", DEFLATED},
    {"1.2.840.10008.1.2.4.100", "MPEG2 Main Profile / Main Level", ENCAPS},
    {"1.2.840.10008.1.2.4.100.1", "MPEG2 Main Profile / Main Level, fragmentable", ENCAPS},
    {"1.2.840.10008.1.2.4.101", "MPEG2 Main Profile / High Level", ENCAPS},
    {"1.2.840.10008.1.2.4.101.1", "MPEG2 Main Profile / High Level, fragmentable", ENCAPS},
    {"1.2.840.10008.1.2.4.102", "MPEG-4 High Profile / Level 4.1", ENCAPS},
    {"1.2.840.10008.1.2.4.102.1", "MPEG-4 High Profile / Level 4.1, fragmentable", ENCAPS},
    {"1.2.840.10008.1.2.4.103", "MPEG-4 BD-compatible High Profile / Level 4.1", ENCAPS},
    {"1.2.840.10008.1.2.4.103.1", "MPEG-4 BD-compatible / Level 4.1, fragmentable", ENCAPS},
    {"1.2.840.10008.1.2.4.104", "MPEG-4 High Profile / Level 4.2 For 2D Video", ENCAPS},
    {"1.2.840.10008.1.2.4.104.1", "MPEG-4 High Profile / Level 4.2 2D, fragmentable", ENCAPS},
    {"1.2.840.10008.1.2.4.105", "MPEG-4 High Profile / Level 4.2 For 3D Video", ENCAPS},
    {"1.2.840.10008.1.2.4.105.1", "MPEG-4 High Profile / Level 4.2 3D, fragmentable", ENCAPS},
    {"1.2.840.10008.1.2.4.106", "MPEG-4 Stereo High Profile / Level 4.2", ENCAPS},
    {"1.2.840.10008.1.2.4.106.1", "MPEG-4 Stereo High Profile / Level 4.2, fragmentable", ENCAPS},
    {"1.2.840.10008.1.2.4.107", "HEVC/H.265 Main Profile / Level 5.1", ENCAPS},
    {"1.2.840.10008.1.2.4.108", "HEVC/H.265 Main 10 Profile / Level 5.1", ENCAPS},
    {"1.2.840.10008.1.2.4.110", "JPEG XL Lossless", ENCAPS},
    {"1.2.840.10008.1.2.4.111", "JPEG XL JPEG Recompression", ENCAPS},
    {"1.2.840.10008.1.2.4.112", "JPEG XL", ENCAPS},
    {"1.2.840.10008.1.2.4.201", "HTJ2K Lossless", ENCAPS},
    {"1.2.840.10008.1.2.4.202", "HTJ2K Lossless RPCL", ENCAPS},
    {"1.2.840.10008.1.2.4.203", "HTJ2K", ENCAPS},
    {"1.2.840.10008.1.2.4.204", "JPIP HTJ2K Referenced", EXPLICIT},
    {"1.2.840.10008.1.2.4.205", "JPIP HTJ2K Referenced Deflate", DEFLATED},
    {"1.2.840.10008.1.2.5", "RLE Lossless", ENCAPS},
    {"1.2.840.10008.1.2.7.1", "SMPTE ST 2110-20 Uncompressed Progressive Active Video", EXPLICIT},
    {"1.2.840.10008.1.2.7.2", "SMPTE ST 2110-20 Uncompressed Interlaced Active Video", EXPLICIT},
    {"1.2.840.10008.1.2.7.3", "SMPTE ST 2110-30 PCM Digital Audio", EXPLICIT},
    {"1.2.840.10008.1.2.8.1", "Deflated Image Frame Compression", ENCAPS},
    {"1.2.840.113619.5.2", "Implicit VR LE, big-endian pixels (GE private)", IMPLICIT},
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
    return !strcmp(uid, SYNTAX_IMPLICIT_LE) || !strcmp(uid, SYNTAX_EXPLICIT_LE) ||
           !strcmp(uid, SYNTAX_EXPLICIT_BE);
}
