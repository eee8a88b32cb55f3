#pragma once
// The MCP server itself, whatever the transport: reads JSON-RPC messages, answers requests, runs tools. Thread-safe;
// calls run side by side.

#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <variant>

#include "examples/demo_server/call.h"
#include "examples/demo_server/request_log.h"
#include "examples/demo_server/timers.h"
#include "mcp/envelope.h"

namespace ringside::demo {

struct Message {
  mcp::Envelope::Kind kind = mcp::Envelope::Kind::kRequest;
  std::string method;
  std::string id;         ///< raw JSON; empty for a notification
  nlohmann::json params;  ///< null when absent
};

/// The JSON-RPC error to answer with.
struct Malformed {
  std::string answer;
};

[[nodiscard]] std::variant<Message, Malformed> read_message(const std::string& body);

class Server {
 public:
  /// `calls` gets the params of every tools/call that runs; it outlives the server.
  explicit Server(RequestLog& calls) : calls_(calls) {}
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Answers a request through `reply`, perhaps later and on another thread; acts on a notification. `session` tells
  /// the clients apart whose requests have the same ids.
  void serve(const Message& message, const std::string& session, std::shared_ptr<Reply> reply);
  /// The client does not want the answer any more.
  void cancel(const std::string& session, const std::string& id);

 private:
  void call_tool(const Message& message, const std::string& session, std::shared_ptr<Reply> reply);
  void remember(const std::string& session, const std::string& id, const std::shared_ptr<Call>& call);

  RequestLog& calls_;
  std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, std::weak_ptr<Call>> under_way_;  // by session and id
  Timers timers_;  // last: its callbacks end before the rest goes
};

}  // namespace ringside::demo
