#pragma once
// The `edge` block: the doors to strangers, over TCP. {"listen", "grpcListen", "tls": {"cert", "key", "clientCa"},
// "bearerFile", "origins", "hosts", "requireSession"}. Away from loopback a door is refused that anybody could read or
// use: the HTTP edge without TLS and a bearer token, the remote workers' door without mutual TLS.

#include <optional>
#include <string>
#include <vector>

#include "ringside/link/v1/link.pb.h"
#include "supervisor/config_fields.h"
#include "supervisor/tcp_place.h"

namespace ringside::supervisor {

struct EdgeConfig {
  EdgeConfig() { rules.set_require_session(true); }

  std::optional<TcpPlace> listen;       ///< HTTP; none: no edge
  std::optional<TcpPlace> grpc_listen;  ///< the contract for remote workers; none: no such door
  link::v1::Edge rules;                 ///< what workers are told, but for which doors there are
};

void read_edge(const Field& field, EdgeConfig& edge);

/// What is wrong with the whole, once the command line has had its say: a line each, which tells what to do.
[[nodiscard]] std::vector<std::string> faults_of(const EdgeConfig& edge);

/// What workers are told.
[[nodiscard]] link::v1::Edge to_edge(const EdgeConfig& edge);

}  // namespace ringside::supervisor
