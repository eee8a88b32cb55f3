#include "client/cli/call.h"

#include <algorithm>
#include <istream>
#include <ostream>
#include <utility>

#include "client/cli/complaint.h"
#include "client/cli/message.h"
#include "mcp/envelope.h"
#include "mcp/sse.h"

namespace ringside::cli {
namespace {

constexpr Duration kLeastForClosing = std::chrono::seconds(1);
constexpr std::size_t kMaxEventBytes = 1ULL << 30U;  // the runtime has a limit of its own

bool is_event_stream(const Response& answer) { return answer.headers.get("content-type") == mcp::kEventStream; }

/// What `ringside call` says through one client: the call itself, and the session around it.
class Conversation {
 public:
  Conversation(const CallCommand& command, Client& client, SteadyTime deadline)
      : command_(command), client_(client), deadline_(deadline), session_id_(command.session_id) {}

  Answer send(std::string body, CallTrace* trace = nullptr) {
    return exchange(post(std::move(body)), deadline_, trace);
  }

  /// The same, and events go to `out` as they come: the body of what this returns is then the last one's message. An
  /// answer that comes without them is returned as it is.
  Answer stream(std::string body, std::ostream& out, CallTrace* trace) {
    StreamOptions options;
    options.timeout = deadline_ - std::chrono::steady_clock::now();
    options.trace = trace;
    Request request = post(std::move(body));
    request.headers.set("accept", "application/json, text/event-stream");
    auto opened = client_.stream(std::move(request), options);
    if (!opened.ok()) return opened.error();
    const auto stream = std::move(opened).value();
    Response answer = stream->head();
    const bool has_events = is_event_stream(answer);
    mcp::SseParser events(kMaxEventBytes);
    while (true) {
      auto piece = stream->read();
      if (!piece.ok()) return piece.error();
      if (!*piece) return answer;
      if (!has_events) {
        answer.body += **piece;
        continue;
      }
      out << **piece << std::flush;
      RS_TRY_STATUS(events.feed(**piece, [&answer](mcp::SseEvent&& event) { answer.body = std::move(event.data); }));
    }
  }

  /// From now on everything is said in the session that `opened` brought.
  void enter(const Response& opened) {
    session_id_ = opened.headers.get("mcp-session-id");
    mcp::EnvelopeReader reader;
    mcp::Envelope envelope;
    if (reader.read(opened.body, envelope) != mcp::EnvelopeFault::kNone) return;
    const auto version = mcp::member(envelope.result, "protocolVersion");
    if (version) protocol_version_ = mcp::decode_string(*version).value_or("");
  }

  /// Failing is no concern of the caller: the session expires by itself.
  void leave() {
    if (session_id_.empty()) return;
    static_cast<void>(
        exchange(head("DELETE"), std::max(deadline_, std::chrono::steady_clock::now() + kLeastForClosing)));
  }

  [[nodiscard]] const std::string& session_id() const { return session_id_; }

 private:
  [[nodiscard]] Request head(const char* method) const {
    Request request;
    request.method = method;
    request.path = "/mcp";
    request.server_id = command_.server_id;
    request.session_id = session_id_;
    if (!protocol_version_.empty()) request.headers.set("mcp-protocol-version", protocol_version_);
    return request;
  }

  [[nodiscard]] Request post(std::string body) const {
    Request request = head("POST");
    request.headers.set("content-type", "application/json");
    request.headers.set("accept", "application/json");
    request.body = std::move(body);
    return request;
  }

  Answer exchange(Request request, SteadyTime deadline, CallTrace* trace = nullptr) {
    request.deadline = deadline;
    CallOptions options;
    options.timeout = deadline - std::chrono::steady_clock::now();
    options.trace = trace;
    return client_.call(std::move(request), options);
  }

  const CallCommand& command_;
  Client& client_;
  const SteadyTime deadline_;
  std::string session_id_;
  std::string protocol_version_;
};

void print(const CallCommand& command, const Response& response, std::ostream& out, std::ostream& err) {
  out << response.body;
  if (!command.raw && !response.body.empty() && !response.body.ends_with('\n')) out << '\n';
  out.flush();
  if (response.status >= 400) err << "ringside: answered with HTTP status " << response.status << '\n';
}

void print(const CallTrace& trace, const std::string& session_id, std::ostream& err) {
  err << "trace door=" << to_string(trace.door) << " worker_pid=";
  if (trace.worker_pid != 0) {
    err << trace.worker_pid;
  } else {
    err << "unknown";
  }
  err << " ring=" << trace.ring << " ring_bytes_out=" << trace.ring_bytes_out
      << " ring_bytes_in=" << trace.ring_bytes_in << " inline_bytes_out=" << trace.inline_bytes_out
      << " inline_bytes_in=" << trace.inline_bytes_in << " session=" << (session_id.empty() ? "none" : session_id)
      << '\n';
}

ExitCode got_no_answer(const CallCommand& command, const Error& error, std::ostream& err) {
  std::string place = command.runtime_dir;
  if (command.door != DoorChoice::kAuto) place = "the " + std::string(to_string(command.door)) + " door of " + place;
  err << "ringside: " << complaint(error, place, command.runtime_dir) << '\n';
  return kNobodyAnswers;
}

/// Opens a session; what stands in the way is printed and becomes the exit code.
ExitCode open_session(const CallCommand& command, Conversation& conversation, std::ostream& out, std::ostream& err) {
  auto opened = conversation.send(make_message("initialize", initialize_params()).text);
  if (!opened.ok()) return got_no_answer(command, opened.error(), err);
  if (is_error(*opened)) {
    print(command, *opened, out, err);
    err << "ringside: no session could be opened, and " << command.method << " needs one\n";
    return kAnsweredWithError;
  }
  conversation.enter(*opened);
  auto accepted = conversation.send(make_message("notifications/initialized", {}).text);
  if (!accepted.ok()) return got_no_answer(command, accepted.error(), err);
  return kFine;
}

ExitCode call_in(Conversation& conversation, const CallCommand& command, std::string message, std::ostream& out,
                 std::ostream& err) {
  const bool opens_itself = command.method == "initialize";
  if (command.session_id.empty() && !opens_itself && command.method != "ping") {
    if (const ExitCode failed = open_session(command, conversation, out, err); failed != kFine) return failed;
  }
  CallTrace trace;
  auto answer = command.stream ? conversation.stream(std::move(message), out, &trace)
                               : conversation.send(std::move(message), &trace);
  if (!answer.ok()) return got_no_answer(command, answer.error(), err);
  if (opens_itself && command.session_id.empty()) conversation.enter(*answer);
  if (!command.stream || !is_event_stream(*answer)) print(command, *answer, out, err);
  if (command.trace) print(trace, conversation.session_id(), err);
  return is_error(*answer) ? kAnsweredWithError : kFine;
}

}  // namespace

ExitCode run_call(const CallCommand& command, std::istream& in, std::ostream& out, std::ostream& err) {
  auto params = read_params(command.params, in);
  if (params.fault.empty() && params.text.empty() && command.method == "initialize") params.text = initialize_params();
  auto message = params.fault.empty() ? make_message(command.method, params.text) : std::move(params);
  if (!message.fault.empty()) {
    err << "ringside: " << message.fault << '\n';
    return kWrongUsage;
  }
  const Duration timeout = seconds(command.timeout_s);
  ClientOptions options;
  options.runtime_dir = command.runtime_dir;
  options.door = command.door;
  options.connect_timeout = std::min(options.connect_timeout, timeout);
  options.client_name = "ringside/" RINGSIDE_VERSION;
  const SteadyTime deadline = std::chrono::steady_clock::now() + timeout;
  const auto client = Client::connect(std::move(options));
  if (!client.ok()) return got_no_answer(command, client.error(), err);
  Conversation conversation(command, **client, deadline);
  const ExitCode code = call_in(conversation, command, std::move(message.text), out, err);
  if (command.session_id.empty()) conversation.leave();
  return code;
}

}  // namespace ringside::cli
