#pragma once
// The `mcpServers` block, as MCP clients write it: {"NAME": {"command", "args", "env", "cwd"} | {"url", "headers"} |
// {"builtin": true}}. Members that Ringside has no use for are tolerated with a warning, so that a block can be pasted.

#include <vector>

#include "ringside/link/v1/link.pb.h"
#include "supervisor/config_fields.h"

namespace ringside::supervisor {

/// The servers in the order of the file, without those that are disabled.
std::vector<link::v1::UpstreamConfig> read_servers(const Field& servers, std::vector<Problem>& warnings);

}  // namespace ringside::supervisor
