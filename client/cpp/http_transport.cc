// The HTTP door. What a Request has beyond HTTP travels in headers: session_id as mcp-session-id, the rest as the
// x-contextforge-* headers below, which the door believes since its peers are checked. affinity_forwarded has no form
// here and is lost. Deadlines and cancellation end the wait on this side; over there a call runs on, as MCP has it for
// a connection that closes.

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "base/unix_socket.h"
#include "client/cpp/stream_buffer.h"
#include "client/cpp/transport.h"
#include "http/client.h"
#include "mcp/session.h"
#include "rpc/errors.h"

namespace ringside {
namespace {

constexpr int kAttempts = 8;

constexpr long kMostConnections = 16;
constexpr long kMostStreams = 1024;  // each keeps a connection; calls have others

/// What frames a message or belongs to one connection, and what only a Request's own fields may state: a gateway that
/// passes the headers of its clients on must not pass an identity on with them.
bool is_reserved(std::string_view name) {
  constexpr std::array<std::string_view, 16> kReserved = {"connection",
                                                          "content-length",
                                                          "date",
                                                          "expect",
                                                          "host",
                                                          "keep-alive",
                                                          "proxy-connection",
                                                          "server",
                                                          "te",
                                                          "trailer",
                                                          "transfer-encoding",
                                                          "upgrade",
                                                          mcp::kAuthContextHeader,
                                                          mcp::kAuthExpiresHeader,
                                                          mcp::kServerIdHeader,
                                                          mcp::kRetryHeader};
  return std::find(kReserved.begin(), kReserved.end(), name) != kReserved.end();
}

bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

/// Percent-encodes (RFC 3986, 2.1) what is neither unreserved nor in `allowed`.
std::string encode(std::string_view text, std::string_view allowed) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    if (is_unreserved(c) || allowed.find(c) != std::string_view::npos) {
      encoded += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      encoded += '%';
      encoded += kHex[byte >> 4U];
      encoded += kHex[byte & 0xFU];
    }
  }
  return encoded;
}

/// A path that a URL can say without meaning another: rooted, and without "." and ".." segments.
bool is_sayable(std::string_view path) {
  return path.starts_with('/') && (std::string(path) + '/').find("/./") == std::string::npos &&
         (std::string(path) + '/').find("/../") == std::string::npos;
}

std::string url_of(const Request& request) {
  std::string url = "http://localhost" + encode(request.path.empty() ? "/mcp" : request.path, "/:@!$&'()*+,;=%");
  if (!request.query.empty()) url += '?' + encode(request.query, "/?:@!$&'()*+,;=%");
  return url;
}

mcp::Headers headers_of(const Request& request) {
  mcp::Headers headers;
  headers.set("content-type", "application/json");
  headers.set("accept", request.stream ? "application/json, text/event-stream" : "application/json");
  for (const auto& [name, value] : request.headers) {
    if (!is_reserved(name)) headers.set(name, value);
  }
  if (!request.session_id.empty()) headers.set("mcp-session-id", request.session_id);
  if (!request.server_id.empty()) headers.set(mcp::kServerIdHeader, request.server_id);
  if (!request.auth_encoded.empty()) headers.set(mcp::kAuthContextHeader, request.auth_encoded);
  if (request.auth_expires_ms != 0) headers.set(mcp::kAuthExpiresHeader, std::to_string(request.auth_expires_ms));
  if (request.retry) headers.set(mcp::kRetryHeader, "1");
  return headers;
}

/// The answer to what HTTP cannot say, as the runtime gives it at the other doors: a GET is a stream over HTTP, and no
/// answer to a call.
std::optional<Response> refuse(const Request& request, const mcp::Headers& headers) {
  if (request.method == "GET" && !request.stream) {
    return rpc::not_allowed(mcp::find_session_id(request).empty() ? "POST" : "POST, DELETE");
  }
  if (!request.path.empty() && !is_sayable(request.path)) return rpc::detail_error(404, "Not Found");
  if (!request.method.empty() && !mcp::is_valid_header(request.method, "")) {
    return rpc::not_allowed(mcp::find_session_id(request).empty() ? "POST" : "POST, DELETE");
  }
  const bool headers_good = std::all_of(headers.begin(), headers.end(), [](const auto& header) {
    return mcp::is_valid_header(header.first, header.second);
  });
  if (!headers_good) return rpc::detail_error(400, "Invalid header");
  return std::nullopt;
}

Error error_of(Code code) {
  switch (code) {
    case Code::kUnavailable:
    case Code::kUpstream:
      return {Code::kUnavailable, 0, "nobody answers at the HTTP door, or the worker died with the call under way"};
    case Code::kTimeout:
      return {code, 0, "no answer came in time"};
    case Code::kCancelled:
      return {code, 0, "the call was cancelled"};
    case Code::kTooLarge:
      return {code, 0, "the answer is over the limit"};
    default:
      return {code, 0, "the HTTP door cannot be used for this call"};
  }
}

/// The HTTP client, as long as there is one: a PendingCall may outlive it.
struct Gate {
  std::mutex mutex;
  http::Client* client = nullptr;
};

class HttpCall final : public PendingCall {
 public:
  HttpCall(std::shared_ptr<Gate> gate, std::uint64_t id) : gate_(std::move(gate)), id_(id) {}
  void cancel() override {
    const std::lock_guard lock(gate_->mutex);
    if (gate_->client != nullptr) gate_->client->cancel(id_);
  }

 private:
  std::shared_ptr<Gate> gate_;
  std::uint64_t id_;
};

/// The answer without what belongs to its connection, so that every door gives the same.
mcp::Headers tidy(const mcp::Headers& headers) {
  mcp::Headers kept;
  for (const auto& [name, value] : headers) {
    if (!is_reserved(name)) kept.set(name, value);
  }
  return kept;
}

/// A streamed answer on its way into its buffer.
class StreamExchange final : public http::Exchange {
 public:
  StreamExchange(std::shared_ptr<StreamBuffer> buffer, std::function<void(const Status&, std::size_t)> ended)
      : buffer_(std::move(buffer)), ended_(std::move(ended)) {}

  void on_head(int status, const mcp::Headers& headers) override { buffer_->begin({status, tidy(headers), {}}); }
  http::Flow on_data(std::string_view bytes) override {
    bytes_ += bytes.size();
    return buffer_->push(bytes) ? http::Flow::kMore : http::Flow::kWait;
  }
  void on_done(const Status& status) override { std::exchange(ended_, nullptr)(status, bytes_); }

 private:
  const std::shared_ptr<StreamBuffer> buffer_;
  std::function<void(const Status&, std::size_t)> ended_;
  std::size_t bytes_ = 0;
};

class HttpTransport final : public Transport {
 public:
  explicit HttpTransport(const ClientOptions& options)
      : socket_(options.runtime_dir + "/http.sock"),
        connect_timeout_(options.connect_timeout),
        max_answer_bytes_(2 * options.max_body_bytes),
        client_(http::ClientOptions{.max_connections_per_host = kMostConnections}),
        stream_client_(http::ClientOptions{.max_connections_per_host = kMostStreams}) {
    gate_->client = &client_;
    stream_gate_->client = &stream_client_;
  }

  ~HttpTransport() override {
    for (const auto& gate : {gate_, stream_gate_}) {
      const std::lock_guard lock(gate->mutex);
      gate->client = nullptr;
    }
  }

  std::shared_ptr<PendingCall> call_async(Request request, CallTrace* trace, Done done) override {
    http::ClientRequest message;
    message.headers = headers_of(request);
    if (auto refusal = refuse(request, message.headers)) {
      if (trace != nullptr) *trace = CallTrace{.door = DoorChoice::kHttp};
      done({std::move(*refusal), std::nullopt});
      return nullptr;
    }
    fill(message, request);
    const std::size_t bytes_out = message.body.size();
    const auto kept = std::make_shared<Request>(std::move(request));
    return std::make_shared<HttpCall>(
        gate_,
        fetch(std::move(message), [this, bytes_out, trace, kept, done = std::move(done)](Result<Response> answer) {
          say(trace, bytes_out, answer.ok() ? answer->body.size() : 0);
          const bool nowhere = !answer.ok() && http::never_arrived(answer.error());
          done(with_request({tidy_answer(std::move(answer))}, std::move(*kept), nowhere));
        }));
  }

  std::shared_ptr<PendingCall> stream(Request request, CallTrace* trace,
                                      std::shared_ptr<StreamBuffer> buffer) override {
    http::ClientRequest message;
    message.headers = headers_of(request);
    if (auto refusal = refuse(request, message.headers)) {
      say(trace, 0, 0);
      buffer->finish({std::move(*refusal)});
      return nullptr;
    }
    fill(message, request);
    const auto kept = std::make_shared<Request>(std::move(request));
    auto ended = [this, trace, kept, buffer, out = message.body.size()](const Status& status, std::size_t in) {
      say(trace, out, in);
      if (status.ok()) return buffer->finish({Response{}});
      // One that broke off may have been read too slowly: that says nothing of the door.
      const Error error = buffer->begun() ? error_of(status.error().code) : failed(status.error());
      buffer->finish(with_request({error}, std::move(*kept), http::never_arrived(status.error())));
    };
    // The reader may come before the number of the exchange is known.
    const auto number = std::make_shared<std::atomic<std::uint64_t>>(0);
    buffer->on_room([gate = stream_gate_, number] {
      const std::lock_guard lock(gate->mutex);
      if (gate->client != nullptr) gate->client->resume(number->load());
    });
    const std::uint64_t id = start(std::move(message), std::make_shared<StreamExchange>(buffer, std::move(ended)));
    number->store(id);
    if (buffer->has_room()) stream_client_.resume(id);
    return std::make_shared<HttpCall>(stream_gate_, id);
  }

  /// Asks for /health: whoever answers that, with any status but a refusal, serves the door.
  Status probe() {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<Result<Response>> answer;
    http::ClientRequest message;
    message.method = "GET";
    message.url = "http://localhost/health";
    message.deadline = std::chrono::steady_clock::now() + connect_timeout_;
    fetch(std::move(message), [&](Result<Response> came) {
      const std::lock_guard lock(mutex);
      answer = std::move(came);
      changed.notify_one();
    });
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return answer.has_value(); });
    if (!answer->ok()) {
      return Error{Code::kUnavailable, 0,
                   "nobody answers at the HTTP door; is ringsided running with the same --runtime-dir?"};
    }
    if ((*answer)->status == 403) {
      return Error{Code::kDenied, 0,
                   "the HTTP door refuses this user; allow the user or group in ringsided's configuration"};
    }
    return {};
  }

  [[nodiscard]] bool usable() const override { return !lost_.load(std::memory_order_relaxed); }
  [[nodiscard]] DoorChoice door() const override { return DoorChoice::kHttp; }

 private:
  static void fill(http::ClientRequest& message, const Request& request) {
    message.method = request.method.empty() ? "POST" : request.method;
    message.url = url_of(request);
    message.deadline = request.deadline;
    message.body = request.body;
  }
  static void say(CallTrace* trace, std::size_t bytes_out, std::size_t bytes_in) {
    if (trace == nullptr) return;
    *trace = CallTrace{.door = DoorChoice::kHttp, .inline_bytes_out = bytes_out, .inline_bytes_in = bytes_in};
  }
  std::uint64_t fetch(http::ClientRequest message, std::function<void(Result<Response>)> done) {
    reach(message);
    return client_.fetch(std::move(message), max_answer_bytes_, std::move(done));
  }
  std::uint64_t start(http::ClientRequest message, std::shared_ptr<http::Exchange> exchange) {
    reach(message);
    return stream_client_.start(std::move(message), std::move(exchange));
  }
  void reach(http::ClientRequest& message) const {
    message.unix_socket = socket_;
    message.connect_timeout = connect_timeout_;
  }

  /// Hands the request of a call back that found no worker, or lost it.
  static Outcome with_request(Outcome outcome, Request request, bool never_arrived) {
    if (outcome.answer.ok() || outcome.answer.error().code != Code::kUnavailable) return outcome;
    (never_arrived ? outcome.unsent : outcome.lost) = std::move(request);
    return outcome;
  }

  Answer tidy_answer(Result<Response> answer) {
    if (!answer.ok()) return failed(answer.error());
    Response response = std::move(answer).value();
    response.headers = tidy(response.headers);
    return response;
  }
  Error failed(const Error& from) {
    const Error error = error_of(from.code);
    if (error.code == Code::kUnavailable) lost_.store(true, std::memory_order_relaxed);
    return error;
  }

  const std::string socket_;
  const Duration connect_timeout_;
  const std::size_t max_answer_bytes_;
  std::atomic<bool> lost_{false};
  std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
  std::shared_ptr<Gate> stream_gate_ = std::make_shared<Gate>();
  http::Client client_;  ///< these are last, so that they end first: their threads use the rest
  http::Client stream_client_;
};

}  // namespace

Result<std::shared_ptr<Transport>> connect_http(const ClientOptions& options) {
  auto transport = std::make_shared<HttpTransport>(options);
  for (int attempt = 1;; ++attempt) {
    const Status there = transport->probe();
    if (there.ok()) return std::shared_ptr<Transport>(std::move(transport));
    // A connection that went to a worker which was dying says nothing of the door; there are other workers.
    const bool again = attempt < kAttempts && there.error().code == Code::kUnavailable &&
                       connect_to(options.runtime_dir + "/http.sock", SocketKind::kStream).ok();
    if (!again) return there.error();
  }
}

}  // namespace ringside
