/* The gateway's settings, one row per key. */
#include "gateway/settings.h"

#include "base/mem.h"

#define AT(member) ROW(gateway_settings, member)

const struct row gateway_rows[] = {
    {"listen", ROW_STRING, AT(listen), 0, "127.0.0.1:8000", 3, 64,
     .help = "Address and port of the API and the status page: 127.0.0.1:8000, [::]:8000. Beyond "
             "this machine only behind a proxy with TLS, and with apiTokenFile."},
    {"apiTokenFile", ROW_STRING, AT(api_token_file), ROW_FILE, "", 0, 4096,
     .help = "File with the bearer token that every API request must bring; empty = none."},
    {"hosts", ROW_STRINGS, AT(hosts), .max = 64,
     .help = "Names under which browsers reach this gateway, besides localhost and IP addresses."},
    {"connections", ROW_INT, AT(connections), 0, "256", 1, 10000,
     .help = "Connections at once; further ones are refused."},
    {"bodyBytes", ROW_INT, AT(body_bytes), 0, "4194304", 1024, 64 << 20,
     .help = "Largest request body.", .unit = "bytes"},
    {"databaseConnections", ROW_INT, AT(database_connections), 0, "4", 1, 64,
     .help = "PostgreSQL connections of this process."},
};
const size_t gateway_rows_n = ARRAY_LEN(gateway_rows);
