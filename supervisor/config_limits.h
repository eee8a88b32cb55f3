#pragma once
// The `limits` block of the configuration.

#include "ringside/link/v1/link.pb.h"
#include "supervisor/config_fields.h"

namespace ringside::supervisor {

/// What holds where the file says nothing.
[[nodiscard]] link::v1::Limits default_limits();
void read_limits(const Field& field, link::v1::Limits& limits);

}  // namespace ringside::supervisor
