/* The receiver's settings, one row per key. */
#include "receiver/settings.h"

#include "base/mem.h"

#define AT(member) ROW(receiver_settings, member)

static const char *const verify_names[] = {"none", "if-given", "required", NULL};

const struct row receiver_rows[] = {
    {"bind", ROW_STRING, AT(bind), 0, "::", 1, 64, .help = "Address of both DICOM listeners; :: is every IPv6 and IPv4 address."},
    {"port", ROW_INT, AT(port), 0, "11112", 0, 65535, .help = "Port of the plain DICOM listener; 0 = none."},
    {"tlsPort", ROW_INT, AT(tls_port), 0, "0", 0, 65535, .help = "Port of the DICOM TLS listener (2762 is registered); 0 = none."},
    {"tlsCertificate", ROW_STRING, AT(tls_certificate), 0, "", 0, 4096, .help = "PEM file of the listener's certificate chain."},
    {"tlsKey", ROW_STRING, AT(tls_key), ROW_FILE, "", 0, 4096, .help = "PEM file of its private key."},
    {"tlsCa", ROW_STRING, AT(tls_ca), 0, "", 0, 4096, .help = "PEM file of the authorities that may issue client certificates."},
    {"tlsVerify", ROW_ENUM, AT(tls_verify), 0, "required", .names = verify_names, .help = "Client certificates: none, if-given, required."},
    {"associations", ROW_INT, AT(associations), 0, "1024", 1, 8192, .help = "Associations at once; further ones are rejected as transient (local limit)."},
    {"associationsPerPeer", ROW_INT, AT(associations_per_peer), 0, "512", 1, 8192, .help = "Associations at once from one address: less than all, so that no peer takes every place."},
    {"window", ROW_INT, AT(window), 0, "8", 1, 64, .help = "Asynchronous operations window that a sender is offered when it asks for one."},
    {"negotiateSeconds", ROW_INT, AT(negotiate_seconds), 0, "20", 1, 600, .help = "Time for TLS handshake and A-ASSOCIATE together.", .unit = "seconds"},
    {"idleSeconds", ROW_INT, AT(idle_seconds), 0, "600", 1, 86400, .help = "Longest pause between two messages of an association.", .unit = "seconds"},
    {"messageSeconds", ROW_INT, AT(message_seconds), 0, "1800", 1, 86400, .help = "Longest time for one message.", .unit = "seconds"},
    {"minimumRate", ROW_INT, AT(minimum_rate), 0, "1024", 0, 1000000000, .help = "Slowest transfer of one message after its first ten seconds; 0 = any.", .unit = "bytes per second"},
    {"messageBytes", ROW_INT, AT(message_bytes), 0, "0", 0, INT64_C(1) << 50, .help = "Largest dataset; 0 = no limit but the disk's.", .unit = "bytes"},
    {"memoryBytes", ROW_INT, AT(memory_bytes), 0, "268435456", 1 << 20, INT64_C(1) << 40, .help = "Budget for datasets that wait in memory for their end; beyond it A700 is answered.", .unit = "bytes"},
    {"streamBytes", ROW_INT, AT(stream_bytes), 0, "1048576", 65536, 1 << 30, .help = "Larger datasets go to the object store while they arrive.", .unit = "bytes"},
    {"reserveBytes", ROW_INT, AT(reserve_bytes), 0, "1073741824", 0, INT64_C(1) << 50, .help = "Free space of the object store below which associations are rejected as transient.", .unit = "bytes"},
    {"announceMilliseconds", ROW_INT, AT(announce_ms), 0, "2000", 10, 60000, .help = "Time for Kafka's acknowledgement before the outbox is used.", .unit = "milliseconds"},
    {"drainSeconds", ROW_INT, AT(drain_seconds), 0, "10", 0, 3600, .help = "Time for running associations to end after TERM.", .unit = "seconds"},
    {"aliveSeconds", ROW_INT, AT(alive_seconds), 0, "60", 1, 3600, .help = "How often an open association of a source with completion open-association is told to the router; less than half of the configuration's lostSeconds.", .unit = "seconds"},
};
const size_t receiver_rows_n = ARRAY_LEN(receiver_rows);
