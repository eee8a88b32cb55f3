// The part of HttpSession that hears what the upstream says of its own accord, and that takes up a call's stream which
// broke off: both by a GET stream.

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "worker/upstream/http_session.h"
#include "worker/upstream/http_stream.h"

namespace ringside::worker {
namespace {

constexpr int kNotAllowed = 405;
constexpr auto kFirstPause = std::chrono::milliseconds(500);
constexpr auto kLongestPause = std::chrono::seconds(60);
// Times that a call's stream is asked for in vain; a server that gives one and ends it again is waiting for something.
constexpr int kMostVainResumptions = 5;

Duration pause(std::optional<int> retry_ms, int tries) {
  if (retry_ms) return std::min<Duration>(std::chrono::milliseconds(std::max(*retry_ms, 1)), kLongestPause);
  return std::min<Duration>(kFirstPause * (1 << std::min(tries, 10)), kLongestPause);
}

}  // namespace

void HttpSession::listen() {
  const std::lock_guard lock(mutex_);
  ear_.wanted = true;
  open_ear();
}

http::ClientRequest HttpSession::stream_request(const std::string& last_event_id) const {
  auto http = request();
  http.method = "GET";
  http.headers.set("accept", std::string(mcp::kEventStream));
  if (!last_event_id.empty()) http.headers.set("last-event-id", last_event_id);
  return http;
}

void HttpSession::open_ear() {
  if (phase_ != Phase::kReady || !ear_.wanted || ear_.none || ear_.flight) return;
  timer_.disarm(ear_.again);
  auto flight = std::make_shared<Flight>();
  flight->road = &hub_->roads.listen;
  const auto generation = generation_;
  const auto self = shared_from_this();
  auto stream = std::make_shared<EventStream>(
      hub_->options.max_body_bytes, hub_->listen_reader,
      EventStream::Hooks{
          .opened =
              [self, generation] {
                const std::lock_guard lock(self->mutex_);
                if (self->generation_ != generation) return;
                self->ear_.was_open = true;
                self->ear_.tries = 0;
              },
          .message = [self](Incoming incoming, std::string text) { self->heard(std::move(incoming), std::move(text)); },
          .over = [self, flight, generation](StreamEnd end) { self->ear_closed(flight, generation, std::move(end)); }});
  ear_.flight = flight;
  flights_.insert(flight);
  flight->exchange = flight->road->start(stream_request(ear_.last_event_id), std::move(stream));
}

void HttpSession::ear_closed(const std::shared_ptr<Flight>& flight, std::uint64_t generation, StreamEnd end) {
  const std::lock_guard lock(mutex_);
  flights_.erase(flight);
  if (phase_ == Phase::kClosed) return one_over();
  if (generation_ != generation || ear_.flight != flight) return;
  ear_.flight = nullptr;
  if (!end.last_event_id.empty()) ear_.last_event_id = std::move(end.last_event_id);
  const bool refused = !end.was_open && end.http_status != 0 && end.http_status < 500;
  if (refused && (end.http_status == kNotAllowed || !ear_.was_open)) {
    ear_.none = true;
    log::debug("upstream has no stream of its own name={} http_status={}", hub_->options.name, end.http_status);
    return;
  }
  // Where it had been open, the server does not know the session any more.
  if (refused && phase_ == Phase::kReady) phase_ = Phase::kNone;
  listen_again(pause(end.retry_ms, ear_.tries++));
}

void HttpSession::listen_again(Duration pause) {
  ear_.again = timer_.arm(system_clock().now() + pause, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    const std::lock_guard lock(self->mutex_);
    if (self->phase_ == Phase::kNone) return self->open();
    self->open_ear();
  });
}

void HttpSession::forget_ear() {
  if (ear_.flight) ear_.flight->road->cancel(ear_.flight->exchange);
  timer_.disarm(ear_.again);
  ear_ = Ear{.wanted = ear_.wanted, .tries = ear_.tries};
}

/// A stream that broke off behind an event with an id goes on behind that event; the call has run once only.
bool HttpSession::goes_on(std::uint64_t id, Job& job, PostResult& result) {
  if (result.answer.ok() || job.generation != generation_ || phase_ != Phase::kReady) return false;
  if (result.broke_off) {
    if (!result.last_event_id.empty()) job.last_event_id = std::move(result.last_event_id);
    job.vain_resumptions = 0;
  } else if (job.last_event_id.empty() || (result.http_status != 0 && result.http_status < 500) ||
             ++job.vain_resumptions > kMostVainResumptions) {
    return false;
  }
  if (job.last_event_id.empty()) return false;
  job.flight = nullptr;
  job.resumption =
      timer_.arm(system_clock().now() + pause(result.retry_ms, job.vain_resumptions), [weak = weak_from_this(), id] {
        if (const auto self = weak.lock()) self->go_on(id);
      });
  return true;
}

void HttpSession::go_on(std::uint64_t id) {
  UpstreamDone done;
  {
    const std::lock_guard lock(mutex_);
    const auto found = jobs_.find(id);
    if (found == jobs_.end()) return;
    Job& job = found->second;
    if (phase_ == Phase::kReady && job.generation == generation_) {
      job.flight =
          start(hub_->roads.calls, {.id = id,
                                    .result = [this, id](PostResult result) { answered(id, std::move(result)); },
                                    .job = &job,
                                    .repeatable = true,
                                    .last_event_id = job.last_event_id});
      return;
    }
    done = take(found).done;
  }
  done(Error{Code::kUpstream, 0, "the upstream lost the session in mid-answer"});
}

}  // namespace ringside::worker
