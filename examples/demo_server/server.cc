#include "examples/demo_server/server.h"

#include <algorithm>

#include "examples/demo_server/tools.h"
#include "mcp/session.h"

namespace ringside::demo {
namespace {

using nlohmann::json;

constexpr int kMethodNotFoundCode = -32601;
constexpr int kInvalidParamsCode = -32602;

void initialize(Call& call, const json& params) {
  const auto asked = params.is_object() ? params.find("protocolVersion") : params.end();
  if (!params.is_object() || asked == params.end() || !asked->is_string()) {
    return call.fail(kInvalidParamsCode, "Missing protocolVersion");
  }
  // A version that we speak is taken; otherwise we offer our newest and the client decides.
  const auto version = asked->get<std::string>();
  call.finish_with({{"protocolVersion", mcp::is_supported_version(version) ? version : mcp::kProtocolVersions[0]},
                    {"capabilities", {{"tools", json::object()}}},
                    {"serverInfo", {{"name", "demo_server"}, {"version", "1.0.0"}}}});
}

void list_tools(Call& call) {
  json list = json::array();
  for (const Tool& tool : tools()) {
    json entry = {
        {"name", tool.name}, {"description", tool.description}, {"inputSchema", json::parse(tool.input_schema)}};
    if (tool.read_only) entry["annotations"] = {{"readOnlyHint", true}};
    list.push_back(std::move(entry));
  }
  call.finish_with({{"tools", std::move(list)}});
}

json progress_token(const json& params) {
  const auto meta = params.is_object() ? params.find("_meta") : params.end();
  return params.is_object() && meta != params.end() && meta->is_object() ? meta->value("progressToken", json())
                                                                         : json();
}

}  // namespace

std::variant<Message, Malformed> read_message(const std::string& body) {
  mcp::EnvelopeReader reader;
  mcp::Envelope envelope;
  switch (reader.read(body, envelope)) {
    case mcp::EnvelopeFault::kNone:
      break;
    case mcp::EnvelopeFault::kParse:
      return Malformed{mcp::error_body({}, -32700, "Parse error")};
    case mcp::EnvelopeFault::kBatch:
      return Malformed{mcp::error_body({}, -32600, "Batch requests are not supported")};
    case mcp::EnvelopeFault::kInvalid:
      return Malformed{mcp::error_body({}, -32600, "Invalid Request")};
  }
  Message message{envelope.kind, envelope.method, std::string(envelope.id), {}};
  if (!envelope.params.empty()) {
    // Valid JSON may still hold what this parser refuses: a lone surrogate, a number out of range.
    message.params = json::parse(envelope.params, nullptr, false);
    if (message.params.is_discarded()) {
      return Malformed{mcp::error_body(message.id, kInvalidParamsCode, "Invalid params")};
    }
  }
  return message;
}

void Server::serve(const Message& message, const std::string& session, std::shared_ptr<Reply> reply) {
  if (message.kind == mcp::Envelope::Kind::kNotification) {
    if (message.method == "notifications/cancelled" && message.params.is_object()) {
      const auto id = message.params.find("requestId");
      if (id != message.params.end()) cancel(session, id->dump());
    }
    return;
  }
  if (message.kind == mcp::Envelope::Kind::kResponse) return;  // this server asks nothing
  if (message.method == "tools/call") return call_tool(message, session, std::move(reply));
  Call call(message.id, {}, std::move(reply));
  if (message.method == "initialize") {
    initialize(call, message.params);
  } else if (message.method == "ping") {
    call.finish_with(json::object());
  } else if (message.method == "tools/list") {
    list_tools(call);
  } else {
    call.fail(kMethodNotFoundCode, "Method not found");
  }
}

void Server::call_tool(const Message& message, const std::string& session, std::shared_ptr<Reply> reply) {
  const auto call = std::make_shared<Call>(message.id, progress_token(message.params), std::move(reply));
  const json& params = message.params;
  const json name = params.is_object() ? params.value("name", json()) : json();
  const json arguments = params.is_object() ? params.value("arguments", json::object()) : json();
  if (!name.is_string() || !arguments.is_object()) return call->fail(kInvalidParamsCode, "Invalid params");
  const auto known = tools();
  const auto tool =
      std::find_if(known.begin(), known.end(), [&name](const Tool& t) { return name == std::string(t.name); });
  if (tool == known.end()) return call->fail(kInvalidParamsCode, "Unknown tool");
  remember(session, message.id, call);
  if (calls_.records()) calls_.record(params.dump());
  tool->run(arguments, call, timers_);
}

void Server::remember(const std::string& session, const std::string& id, const std::shared_ptr<Call>& call) {
  const std::lock_guard lock(mutex_);
  std::erase_if(under_way_, [](const auto& entry) { return entry.second.expired(); });
  under_way_[{session, id}] = call;
}

void Server::cancel(const std::string& session, const std::string& id) {
  std::shared_ptr<Call> call;
  {
    const std::lock_guard lock(mutex_);
    const auto found = under_way_.find({session, id});
    if (found == under_way_.end()) return;
    call = found->second.lock();
    under_way_.erase(found);
  }
  if (call) call->cancel();
}

}  // namespace ringside::demo
