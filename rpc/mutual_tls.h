#pragma once
// What a gRPC server needs to know its clients by their certificates. Names no gRPC type.

#include <string>

namespace ringside::rpc {

/// PEM files; they are taken anew when they change.
struct MutualTls {
  std::string cert;
  std::string key;
  std::string client_ca;  ///< a client without a certificate of these is refused
};

}  // namespace ringside::rpc
