#include "worker/peers/http_relay.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <mutex>
#include <utility>

#include "base/random.h"
#include "http/client.h"
#include "mcp/sse.h"
#include "worker/peers/protocol.h"
#include "worker/runtime/batch.h"
#include "worker/runtime/ledger.h"

namespace ringside::worker {
namespace {

constexpr long kMostConnections = 4096;           // to one worker; a stream that listens holds one
constexpr auto kGrace = std::chrono::seconds(5);  // beyond a caller's deadline, for its home to say so
constexpr auto kTellWithin = std::chrono::seconds(5);

// Of the connection that a request came by, or said anew below.
constexpr std::array<std::string_view, 12> kLeftOut = {
    "host",       "content-length", "connection",     "transfer-encoding",   "te",     "upgrade",
    "keep-alive", "accept",         "mcp-session-id", "proxy-authorization", "expect", "date"};

bool is_left_out(std::string_view name) {
  return name.starts_with("x-ringside-") || name.starts_with("x-contextforge-") ||
         std::find(kLeftOut.begin(), kLeftOut.end(), name) != kLeftOut.end();
}

/// Where that home listens, and a host name of its own: connections are counted and kept by host name.
http::ClientRequest request_to(const std::string& home, std::string_view path) {
  http::ClientRequest request;
  request.unix_socket = home.substr(std::min(home.find('|') + 1, home.size()));
  const std::size_t slash = request.unix_socket.rfind('/');
  std::string name = request.unix_socket.substr(slash == std::string::npos ? 0 : slash + 1);
  name.resize(std::min(name.find('.'), name.size()));
  request.url = "http://w" + name + std::string(path);
  return request;
}

void fill(http::ClientRequest& to, Call& call, const Ledger& ledger, const std::string& session,
          const std::string& name) {
  const mcp::Request& from = call.request();
  to.method = from.method;
  to.body = from.body;
  for (const auto& [key, value] : from.headers) {
    if (!is_left_out(key)) to.headers.set(key, value);
  }
  to.headers.set("mcp-session-id", session);
  to.headers.set(kRelayedHeader, name);
  to.headers.set(kRequestIdHeader, ledger.id_of(call));
  if (call.streams()) to.headers.set(kStreamHeader, "1");
  if (!from.headers.get(kInBatchHeader).empty()) to.headers.set(kInBatchHeader, "1");
  const std::string_view accept = from.headers.get("accept");
  to.headers.set("accept", std::string(accept.empty() ? "application/json" : accept));
  if (from.method == "POST" && from.headers.get("content-type").empty()) {
    to.headers.set("content-type", "application/json");
  }
  if (!from.server_id.empty()) to.headers.set(mcp::kServerIdHeader, from.server_id);
  if (!from.auth_encoded.empty()) to.headers.set(mcp::kAuthContextHeader, from.auth_encoded);
  if (from.retry) to.headers.set(mcp::kRetryHeader, "1");
  if (from.deadline == SteadyTime::max()) return;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(from.deadline - system_clock().now()).count();
  to.headers.set(kLeftHeader, std::to_string(std::max<std::int64_t>(left, 1)));
  to.deadline = from.deadline + kGrace;
}

}  // namespace

/// One call on its way there and its answer on the way back. On the client's thread.
class HttpRelay::Exchange final : public http::Exchange {
 public:
  Exchange(std::shared_ptr<Call> call, std::shared_ptr<Ledger> ledger, std::function<void(Outcome)> done)
      : call_(std::move(call)), ledger_(std::move(ledger)), done_(std::move(done)) {}

  void on_head(int status, const mcp::Headers& headers) override {
    answer_.status = status;
    for (const auto& [key, value] : headers) {
      if (!is_left_out(key)) answer_.headers.set(key, value);
    }
    if (!call_->streams() || !answer_.headers.get("content-type").starts_with(mcp::kEventStream)) return;
    ledger_->sign(*call_, answer_);
    streams_ = call_->begin(std::move(answer_));
  }

  http::Flow on_data(std::string_view bytes) override {
    if (!streams_) {
      answer_.body.append(bytes);
      return http::Flow::kMore;
    }
    switch (call_->write(std::string(bytes))) {
      case Written::kMore:
        return http::Flow::kMore;
      case Written::kSlow:
        return http::Flow::kWait;
      case Written::kCut:
        break;
    }
    return http::Flow::kStop;
  }

  void on_done(const Status& status) override { done_(conclude(status)); }

 private:
  Outcome conclude(const Status& status) {
    if (streams_) {
      ledger_->end(call_);
      return Outcome::kAnswered;
    }
    if (status.ok()) {
      if (answer_.status == kMisdirectedStatus) return Outcome::kNotHome;
      ledger_->answer(call_, std::move(answer_));
      return Outcome::kAnswered;
    }
    const Code code = status.error().code;
    if (call_->cancelled() || code == Code::kTimeout || code == Code::kCancelled) return Outcome::kGivenUp;
    answer_ = {};
    if (!http::never_arrived(status.error())) return Outcome::kBroken;
    // What the kernel says of a socket that nobody listens at. Anything else (a queue that is full, say) is no death.
    const int error = status.error().os_error;
    return error == ECONNREFUSED || error == ENOENT ? Outcome::kNotReached : Outcome::kNotHome;
  }

  const std::shared_ptr<Call> call_;
  const std::shared_ptr<Ledger> ledger_;
  const std::function<void(Outcome)> done_;
  mcp::Response answer_;
  bool streams_ = false;
};

/// The client as long as there is one. Its own thread may be here while another closes it, so nobody else keeps it.
struct HttpRelay::Line {
  std::mutex mutex;
  std::unique_ptr<http::Client> client;

  template <typename F>
  bool use(F&& what) {
    const std::lock_guard lock(mutex);
    if (client != nullptr) what(*client);
    return client != nullptr;
  }
};

HttpRelay::HttpRelay() : seed_(std::to_string(random_u64())), line_(std::make_shared<Line>()) {
  line_->client = std::make_unique<http::Client>(http::ClientOptions{.max_connections_per_host = kMostConnections});
}

HttpRelay::~HttpRelay() { close(); }

void HttpRelay::close() {
  std::unique_ptr<http::Client> closing;  // ends without the lock: what it ends may be sent on
  const std::lock_guard lock(line_->mutex);
  closing.swap(line_->client);
}

void HttpRelay::send(const std::shared_ptr<Call>& call, const std::shared_ptr<Ledger>& ledger,
                     const std::string& session, const std::string& home, std::function<void(Outcome)> done) {
  const std::string name = seed_ + "-" + std::to_string(next_.fetch_add(1, std::memory_order_relaxed));
  http::ClientRequest request = request_to(home, "/mcp");
  fill(request, *call, *ledger, session, name);
  const auto id = std::make_shared<std::atomic<std::uint64_t>>(0);
  const std::weak_ptr<Line> line = line_;
  const auto use = [line](const auto& what) {
    if (const auto there = line.lock()) there->use(what);
  };
  const bool listens = request.method == "GET";
  const auto cancel = [use, id, listens, home, name] {
    use([&](http::Client& client) {
      if (listens) return client.cancel(id->load());
      http::ClientRequest told = request_to(home, kCancelPath);
      told.headers.set(kRelayedHeader, name);
      told.deadline = system_clock().now() + kTellWithin;
      client.fetch(std::move(told), 0, [](const Result<mcp::Response>&) {});
    });
  };
  const auto resume = [use, id] { use([&](http::Client& client) { client.resume(id->load()); }); };
  // Before the start: what comes of it may set hooks of its own.
  call->on_room(resume);
  call->on_cancel(cancel);
  const auto exchange = std::make_shared<Exchange>(call, ledger, done);
  if (!line_->use([&](http::Client& client) { id->store(client.start(std::move(request), exchange)); })) {
    return done(Outcome::kGivenUp);
  }
  // What came before the number was known.
  resume();
  if (call->cancelled()) cancel();
}

}  // namespace ringside::worker
