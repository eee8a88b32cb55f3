#pragma once
// Making each kind of upstream. Values only: no protobuf here, so that tests need none.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "http/client.h"
#include "worker/upstream/upstream.h"

namespace ringside::worker {

/// The HTTP clients that all upstreams of a worker use, each with connections and a thread of its own: calls may wait
/// for what the others bring, so none of them stands in another's way.
struct HttpRoads {
  explicit HttpRoads(http::ClientOptions options);

  http::Client calls;
  http::Client side;    ///< answers to questions, notifications, cancellations, the ends of sessions
  http::Client listen;  ///< GET streams
};

struct HttpUpstreamOptions {
  std::string name;
  std::string url;
  std::map<std::string, std::string> headers;
  std::size_t max_body_bytes = 64ULL << 20U;
  std::string client_version;  ///< for clientInfo
  bool shared = false;         ///< one conversation for all personas
  std::size_t max_conversations = 10'000;
  std::shared_ptr<const http::Access> access;  ///< null: nothing special
  Duration idle = std::chrono::hours(1);       ///< after which a persona's conversation ends that is not listened to
};
/// `roads` outlives the upstream.
std::unique_ptr<Upstream> make_http_upstream(HttpUpstreamOptions options, HttpRoads& roads);

struct StdioUpstreamOptions {
  std::string name;
  std::string command;
  std::vector<std::string> args;
  std::map<std::string, std::string> env;  ///< beside HOME, PATH, LANG, TZ and USER
  std::string cwd;                         ///< empty: the worker's
  std::size_t max_body_bytes = 64ULL << 20U;
  std::string client_version;
  std::string guard_program;  ///< path of ringside-guard
  bool shared = false;        ///< one child for all personas
  std::size_t max_children = 32;
  Duration idle = std::chrono::minutes(10);  ///< after which a persona's child ends that has nothing to do
};
/// A child under its guard for each persona, and one that the rest share; each is started by its first request and
/// again after it died (with back-off).
std::unique_ptr<Upstream> make_stdio_upstream(StdioUpstreamOptions options);

/// echo {message…}, blob {bytes}, sleep {ms}: answered here, for smoke tests and for measuring doors.
std::unique_ptr<Upstream> make_builtin_upstream(std::string name);

}  // namespace ringside::worker
