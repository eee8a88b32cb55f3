#pragma once
// What of the configuration says how several servers become one: `federation`, `servers` (named subsets), and where
// sessions are kept: `store`.

#include <vector>

#include "ringside/link/v1/link.pb.h"
#include "supervisor/config_fields.h"

namespace ringside::supervisor {

/// {"names": "collisions" | "always" | "first", "separator": "-", "patienceMs": 1000}
void read_federation(const Field& field, link::v1::Federation& federation);

/// {"ID": {"upstreams": [NAME…], "tools": [NAME…], "require": {METHOD: PERMISSION}}}; every upstream named must be one
/// of `upstreams`.
std::vector<link::v1::VirtualServer> read_virtual_servers(const Field& field,
                                                          const std::vector<link::v1::UpstreamConfig>& upstreams);

/// {"kind": "sqlite" | "redis", "url": "unix:/PATH" | "HOST:PORT"}
void read_store(const Field& field, link::v1::Store& store);

}  // namespace ringside::supervisor
