#pragma once
// The configuration of a Ringside: one file of JSON with comments, checked whole before anything starts, then the few
// environment variables that stand above it.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ringside/link/v1/link.pb.h"
#include "supervisor/config_edge.h"
#include "supervisor/peer_check.h"
#include "supervisor/policy.h"

namespace ringside::supervisor {

/// Read when no --config is given and it exists.
inline constexpr std::string_view kDefaultConfigFile = "/etc/ringside/ringside.json";

struct Config {
  Config();  ///< the built-in defaults: every door of this build, no upstream

  std::uint32_t workers = 2;
  std::vector<std::string> doors;  ///< of ring, handle, grpc, http; at least one
  PeerList peers;
  std::string log_level = "info";
  std::string mode = "full";  ///< off, full
  bool transport_echo = false;
  std::string core_dumps = "small";  ///< of workers: small, full
  link::v1::Limits limits;
  link::v1::Rings rings;
  PolicyOptions lives;
  EdgeConfig edge;
  link::v1::Federation federation;
  std::vector<link::v1::VirtualServer> servers;  ///< named subsets
  link::v1::Store store;
  std::vector<link::v1::UpstreamConfig> upstreams;  ///< in the order of the file
};

/// What the environment says; an empty value counts as unset.
struct ConfigEnvironment {
  std::optional<std::string> doors;      ///< RINGSIDE_DOORS
  std::optional<std::string> log_level;  ///< RINGSIDE_LOG_LEVEL

  static ConfigEnvironment read();
};

/// With errors, `config` is not to be used. Every line is whole: it names the file, the line, the key's path and what
/// was expected.
struct LoadedConfig {
  Config config;
  std::string source;  ///< the file, or "built-in defaults"
  std::vector<std::string> errors;
  std::vector<std::string> warnings;  ///< what MCP clients write into mcpServers and Ringside has no use for
};

/// Checks `text`, calling it `source` in messages.
LoadedConfig parse_config(std::string_view text, const std::string& source, const ConfigEnvironment& environment);

/// Reads `file`, or kDefaultConfigFile if that exists, or takes the built-in defaults.
LoadedConfig load_config(const std::optional<std::string>& file, const ConfigEnvironment& environment);

/// What worker `index` is told.
link::v1::WorkerConfig to_worker_config(const Config& config, std::uint32_t index, const std::string& runtime_dir,
                                        std::string_view version);

}  // namespace ringside::supervisor
