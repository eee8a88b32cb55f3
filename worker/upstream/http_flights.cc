// The part of HttpSession that carries messages: exchanges, what they tell, and readers who are slow.

#include <utility>

#include "worker/upstream/http_session.h"

namespace ringside::worker {
namespace {

constexpr auto kSideTimeout = std::chrono::seconds(10);
// How long a stream may go on once its answer came. A server ends it at once as a rule, which keeps the connection; one
// that does not shall not keep one of the pool's few.
constexpr auto kLinger = std::chrono::milliseconds(250);
// How long an upstream waits for a caller that reads its stream slowly. Then what comes is kept for it, up to the limit
// of its door: a connection of the pool is not one caller's.
constexpr auto kPatience = std::chrono::seconds(5);
// An upstream that asks faster than it takes answers gets no more of them.
constexpr std::size_t kMaxRefusals = 16;

SteadyTime after(Duration time) { return system_clock().now() + time; }

}  // namespace

void HttpSession::side_post(std::string message) {
  start(hub_->roads.side,
        {.message = std::move(message), .deadline = after(kSideTimeout), .result = [](const PostResult&) {}});
}

void HttpSession::refuse(const Incoming& question) {
  if (phase_ == Phase::kClosed) return;
  if (refusals_ == kMaxRefusals) return hub_->tally.dropped("it asks faster than it takes answers");
  ++refusals_;
  start(hub_->roads.side,
        {.message = refusal_of(question), .deadline = after(kSideTimeout), .result = [this](const PostResult&) {
           const std::lock_guard lock(mutex_);
           --refusals_;
         }});
}

std::shared_ptr<HttpSession::Flight> HttpSession::start(http::Client& road, Sending sending) {
  auto flight = std::make_shared<Flight>();
  flight->road = &road;
  auto http = sending.last_event_id.empty() ? request() : stream_request(sending.last_event_id);
  if (sending.job != nullptr) {
    for (const auto& [name, value] : sending.job->headers) {
      // What the configuration says of a header counts.
      if (http.headers.find(name) == nullptr) http.headers.set(name, value);
    }
  }
  http.body = std::move(sending.message);
  http.deadline = sending.deadline;
  http.repeatable = sending.repeatable;
  auto post = std::make_shared<Post>(hub_->options.name, sending.id, hub_->options.max_body_bytes, hub_->call_reader,
                                     hooks_for(flight, sending));
  flights_.insert(flight);
  flight->exchange = road.start(std::move(http), std::move(post));
  return flight;
}

Post::Hooks HttpSession::hooks_for(const std::shared_ptr<Flight>& flight, Sending& sending) {
  // The hooks hold the session; the client lets go of them, and so of it, when the exchange is over.
  const auto self = shared_from_this();
  Post::Hooks hooks{
      .result = std::move(sending.result),
      .notice = nullptr,
      .question = nullptr,
      .message = [self](Incoming incoming, std::string text) { self->heard(std::move(incoming), std::move(text)); },
      .lingers = [this, flight] { linger(flight); },
      .over = [this, flight] { over(flight); }};
  if (sending.job == nullptr) return hooks;
  if (sending.job->on_message) {
    hooks.notice = [this, flight, tell = sending.job->on_message](std::string text) {
      {
        const std::lock_guard lock(mutex_);
        flight->resumed = false;
      }
      return tell(std::move(text)) || !wait_for_reader(flight);
    };
  }
  if (sending.job->on_question) {
    hooks.question = [this, ask = sending.job->on_question](const Incoming& incoming, std::string text) {
      if (ask({std::move(text), incoming.raw_id, incoming.method})) return;
      const std::lock_guard lock(mutex_);
      refuse(incoming);
    };
  }
  return hooks;
}

http::ClientRequest HttpSession::request() const {
  http::ClientRequest http;
  http.url = hub_->options.url;
  http.access = hub_->options.access;
  http.takes_compressed = true;
  if (!session_id_.empty()) http.headers.set("mcp-session-id", session_id_);
  if (!version_.empty()) http.headers.set("mcp-protocol-version", version_);
  for (const auto& [name, value] : hub_->options.headers) http.headers.set(name, value);
  http.headers.set("content-type", "application/json");
  http.headers.set("accept", "application/json, text/event-stream");
  return http;
}

void HttpSession::linger(const std::shared_ptr<Flight>& flight) {
  const std::lock_guard lock(mutex_);
  if (phase_ == Phase::kClosed) return;
  flight->linger = timer_.arm(after(kLinger), [self = weak_from_this(), flight] {
    if (self.lock()) flight->road->cancel(flight->exchange);
  });
}

/// False once it has been waited for long enough: it keeps a connection of the pool from others.
bool HttpSession::wait_for_reader(const std::shared_ptr<Flight>& flight) {
  const std::lock_guard lock(mutex_);
  if (phase_ == Phase::kClosed || flight->out_of_patience) return false;
  if (flight->resumed) return true;  // meanwhile, and the client has been told
  timer_.disarm(flight->patience);
  flight->patience = timer_.arm(after(kPatience), [self = weak_from_this(), flight] {
    const auto session = self.lock();
    if (!session) return;
    {
      const std::lock_guard inner(session->mutex_);
      flight->out_of_patience = true;
    }
    flight->road->resume(flight->exchange);
  });
  return true;
}

void HttpSession::over(const std::shared_ptr<Flight>& flight) {
  const std::lock_guard lock(mutex_);
  flights_.erase(flight);
  if (phase_ == Phase::kClosed) return one_over();
  timer_.disarm(flight->linger);
  timer_.disarm(flight->patience);
}

}  // namespace ringside::worker
