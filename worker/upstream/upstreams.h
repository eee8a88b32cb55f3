#pragma once
// Making each kind of upstream. Values only: no protobuf here, so that tests need none.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "http/client.h"
#include "worker/upstream/upstream.h"

namespace ringside::worker {

struct HttpUpstreamOptions {
  std::string name;
  std::string url;
  std::map<std::string, std::string> headers;
  std::size_t max_body_bytes = 64ULL << 20U;
  std::string client_version;  ///< for clientInfo
};
/// `client` outlives the upstream and pools its connections.
std::unique_ptr<Upstream> make_http_upstream(HttpUpstreamOptions options, http::Client& client);

struct StdioUpstreamOptions {
  std::string name;
  std::string command;
  std::vector<std::string> args;
  std::map<std::string, std::string> env;  ///< beside HOME, PATH, LANG, TZ and USER
  std::string cwd;                         ///< empty: the worker's
  std::size_t max_body_bytes = 64ULL << 20U;
  std::string client_version;
  std::string guard_program;  ///< path of ringside-guard
};
/// One child under its guard, started by the first request and again after it died (with back-off).
std::unique_ptr<Upstream> make_stdio_upstream(StdioUpstreamOptions options);

/// echo {message…}, blob {bytes}, sleep {ms}: answered here, for smoke tests and for measuring doors.
std::unique_ptr<Upstream> make_builtin_upstream(std::string name);

}  // namespace ringside::worker
