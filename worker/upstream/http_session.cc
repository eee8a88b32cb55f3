#include "worker/upstream/http_session.h"

#include <future>
#include <utility>

#include "base/log.h"
#include "mcp/session.h"

namespace ringside::worker {
namespace {

constexpr auto kOpenTimeout = std::chrono::seconds(60);
constexpr auto kNotifyTimeout = std::chrono::seconds(10);
constexpr auto kCloseTimeout = std::chrono::milliseconds(500);
constexpr std::size_t kMostFarewellBytes = 64ULL * 1024;  // of an answer that nobody reads
// How long a stream may go on once its answer came. A server ends it at once as a rule, which keeps the connection; one
// that does not shall not keep one of the pool's few.
constexpr auto kLinger = std::chrono::milliseconds(250);
// How long an upstream waits for a caller that reads its stream slowly. Then what comes is kept for it, up to the limit
// of its door: a connection of the pool is not one caller's.
constexpr auto kPatience = std::chrono::seconds(5);
// An upstream that asks faster than it takes answers gets no more of them.
constexpr std::size_t kMaxReplies = 16;

constexpr Error kClosed{Code::kCancelled, 0, "the upstream is being closed"};

SteadyTime after(Duration time) { return system_clock().now() + time; }

}  // namespace

HttpSession::HttpSession(HttpUpstreamOptions options, http::Client& client, Timer& timer)
    : options_(std::move(options)), client_(client), timer_(timer), tally_(options_.name, "http") {}

void HttpSession::send(UpstreamRequest request, UpstreamDone done) {
  done = tally_.counted(std::move(done));
  const auto id = request.id;
  {
    const std::lock_guard lock(mutex_);
    if (phase_ != Phase::kClosed) {
      const auto [job, fresh] = jobs_.try_emplace(id);
      RS_CHECK(fresh, "ids are unique in a worker");
      job->second.message = std::move(request.message);
      job->second.done = std::move(done);
      job->second.on_message = std::move(request.on_message);
      job->second.headers = std::move(request.headers);
      if (request.deadline != SteadyTime::max()) {
        job->second.deadline = timer_.arm(request.deadline, [self = weak_from_this(), id] {
          const auto session = self.lock();
          if (session) session->give_up(id, {Code::kTimeout, 0, "the upstream did not answer in time"}, "timed out");
        });
      }
      dispatch(id, job->second);
      return;
    }
  }
  done(kClosed);
}

void HttpSession::cancel(std::uint64_t id) { give_up(id, {Code::kCancelled, 0, "cancelled"}, "cancelled"); }

void HttpSession::resume(std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  const auto job = jobs_.find(id);
  if (job != jobs_.end() && job->second.flight) {
    job->second.flight->resumed = true;
    job->second.flight->out_of_patience = false;
    timer_.disarm(job->second.flight->patience);
    client_.resume(job->second.flight->exchange);
  }
}

void HttpSession::close() {
  std::vector<UpstreamDone> dones;
  auto closing = std::make_shared<std::promise<void>>();
  auto closed = closing->get_future();
  {
    const std::lock_guard lock(mutex_);
    phase_ = Phase::kClosed;
    dones = take_all();
    for (const auto& flight : flights_) client_.cancel(flight->exchange);
    if (session_id_.empty()) {
      closing->set_value();
    } else {
      auto farewell = request();
      farewell.method = "DELETE";
      farewell.deadline = after(kCloseTimeout);
      farewell.repeatable = true;
      client_.fetch(std::move(farewell), kMostFarewellBytes,
                    [closing](const Result<mcp::Response>&) { closing->set_value(); });
    }
  }
  for (const auto& done : dones) done(kClosed);
  closed.wait_for(kCloseTimeout);
}

void HttpSession::dispatch(std::uint64_t id, Job& job) {
  if (phase_ == Phase::kReady) {
    job.generation = generation_;
    job.in_session = !session_id_.empty();
    // Only a session can be lost, once, and only then the bytes are needed again.
    auto bytes = job.in_session && !job.sent_again ? job.message : std::move(job.message);
    job.flight = start(
        std::move(bytes), id, SteadyTime::max(), [this, id](PostResult result) { answered(id, std::move(result)); },
        job.on_message, job.headers);
    return;
  }
  waiting_.push_back(id);
  if (phase_ == Phase::kNone) open();
}

void HttpSession::open() {
  phase_ = Phase::kOpening;
  ++generation_;
  session_id_.clear();
  version_.clear();
  start(initialize_request(options_.client_version), kInitializeId, after(kOpenTimeout),
        [this](PostResult result) { opened(std::move(result)); });
}

void HttpSession::notify(std::string message) {
  start(std::move(message), std::nullopt, after(kNotifyTimeout), [](const PostResult&) {});
}

void HttpSession::reply(std::string message) {
  if (replies_ == kMaxReplies) {
    tally_.dropped("it asks faster than it takes answers");
    return;
  }
  ++replies_;
  start(std::move(message), std::nullopt, after(kNotifyTimeout), [this](const PostResult&) {
    const std::lock_guard lock(mutex_);
    --replies_;
  });
}

std::shared_ptr<HttpSession::Flight> HttpSession::start(std::string message, std::optional<std::uint64_t> id,
                                                        SteadyTime deadline, std::function<void(PostResult)> result,
                                                        std::function<bool(std::string)> notice,
                                                        const mcp::Headers& headers) {
  auto flight = std::make_shared<Flight>();
  if (notice) {
    notice = [self = shared_from_this(), flight, tell = std::move(notice)](std::string message_in) {
      {
        const std::lock_guard lock(self->mutex_);
        flight->resumed = false;
      }
      return tell(std::move(message_in)) || !self->wait_for_reader(flight);
    };
  }
  // The hooks hold the session; the client lets go of them, and so of it, when the exchange is over.
  auto post = std::make_shared<Post>(
      options_.name, id, options_.max_body_bytes, reader_,
      Post::Hooks{.result = std::move(result),
                  .notice = std::move(notice),
                  .message = [self = shared_from_this()](Incoming message_in) { self->heard(std::move(message_in)); },
                  .lingers = [this, flight] { linger(flight); },
                  .over = [this, flight] { over(flight); }});
  auto http = request();
  for (const auto& [name, value] : headers) {
    // What the configuration says of a header counts.
    if (http.headers.find(name) == nullptr) http.headers.set(name, value);
  }
  http.body = std::move(message);
  http.deadline = deadline;
  http.repeatable = id == kInitializeId;
  flights_.insert(flight);
  flight->exchange = client_.start(std::move(http), std::move(post));
  return flight;
}

http::ClientRequest HttpSession::request() const {
  http::ClientRequest http;
  http.url = options_.url;
  if (!session_id_.empty()) http.headers.set("mcp-session-id", session_id_);
  if (!version_.empty()) http.headers.set("mcp-protocol-version", version_);
  for (const auto& [name, value] : options_.headers) http.headers.set(name, value);
  http.headers.set("content-type", "application/json");
  http.headers.set("accept", "application/json, text/event-stream");
  return http;
}

HttpSession::Job HttpSession::take(std::unordered_map<std::uint64_t, Job>::iterator job) {
  auto taken = std::move(job->second);
  jobs_.erase(job);
  timer_.disarm(taken.deadline);
  return taken;
}

std::vector<UpstreamDone> HttpSession::take_all() {
  std::vector<UpstreamDone> dones;
  dones.reserve(jobs_.size());
  while (!jobs_.empty()) dones.push_back(take(jobs_.begin()).done);
  waiting_.clear();
  return dones;
}

void HttpSession::answered(std::uint64_t id, PostResult result) {
  UpstreamDone done;
  {
    const std::lock_guard lock(mutex_);
    const auto job = jobs_.find(id);
    if (job == jobs_.end()) return;
    auto& lost = job->second;
    if (result.http_status == 404 && lost.in_session && !lost.sent_again) {
      log::info("upstream lost the session, opening another name={}", options_.name);
      lost.sent_again = true;
      lost.flight = nullptr;
      if (phase_ == Phase::kReady && lost.generation == generation_) phase_ = Phase::kNone;
      dispatch(id, lost);
      return;
    }
    done = take(job).done;
  }
  done(std::move(result.answer));
}

void HttpSession::opened(PostResult result) {
  if (!result.answer.ok()) return open_failed(result.answer.error());
  auto version = agreed_version(options_.name, *result.answer);
  if (!version.ok()) return open_failed(version.error());
  if (!result.session_id.empty() && !mcp::is_valid_session_id(result.session_id)) {
    log::warn("upstream gave a session id that no header can carry name={}", options_.name);
    return open_failed({Code::kUpstream, 0, "the upstream gave a bad session id"});
  }
  const std::lock_guard lock(mutex_);
  if (phase_ != Phase::kOpening) return;
  session_id_ = std::move(result.session_id);
  version_ = std::move(*version);
  // A strict server refuses requests before it has seen this.
  start(std::string(kInitializedNotification), std::nullopt, after(kNotifyTimeout),
        [this](const PostResult& accepted) { initialized(accepted); });
}

void HttpSession::initialized(const PostResult& result) {
  if (!result.answer.ok()) return open_failed(result.answer.error());
  const std::lock_guard lock(mutex_);
  if (phase_ != Phase::kOpening) return;
  phase_ = Phase::kReady;
  tally_.ready();
  log::info("upstream session opened name={} version={}", options_.name, version_);
  for (const auto id : std::exchange(waiting_, {})) {
    if (const auto job = jobs_.find(id); job != jobs_.end()) dispatch(id, job->second);
  }
}

void HttpSession::open_failed(const Error& error) {
  std::vector<UpstreamDone> dones;
  {
    const std::lock_guard lock(mutex_);
    if (phase_ != Phase::kOpening) return;
    phase_ = Phase::kNone;
    session_id_.clear();
    tally_.failed();
    // Everything that is not under way waits for the session that did not come.
    for (const auto id : std::exchange(waiting_, {})) {
      if (const auto job = jobs_.find(id); job != jobs_.end()) dones.push_back(take(job).done);
    }
  }
  log::warn("upstream session not opened name={} reason=\"{}\" waiting={}", options_.name, error.message, dones.size());
  for (const auto& done : dones) done(error);
}

void HttpSession::heard(Incoming message) {
  switch (message.kind) {
    case Incoming::Kind::kAnswer:
      tally_.dropped("an answer that nobody waits for");
      break;
    case Incoming::Kind::kNoise:
      tally_.dropped("not a JSON-RPC message");
      break;
    case Incoming::Kind::kProgress:
    case Incoming::Kind::kNotice:
      break;
    case Incoming::Kind::kToolsChanged:
      if (tools_changed_) tools_changed_();
      break;
    case Incoming::Kind::kQuestion: {
      const std::lock_guard lock(mutex_);
      if (phase_ != Phase::kClosed) reply(std::move(message.reply));
    }
  }
}

void HttpSession::linger(const std::shared_ptr<Flight>& flight) {
  const std::lock_guard lock(mutex_);
  if (phase_ == Phase::kClosed) return;
  flight->linger = timer_.arm(after(kLinger), [self = weak_from_this(), flight] {
    if (const auto session = self.lock()) session->client_.cancel(flight->exchange);
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
    session->client_.resume(flight->exchange);
  });
  return true;
}

void HttpSession::over(const std::shared_ptr<Flight>& flight) {
  const std::lock_guard lock(mutex_);
  flights_.erase(flight);
  if (phase_ == Phase::kClosed) return;
  timer_.disarm(flight->linger);
  timer_.disarm(flight->patience);
}

void HttpSession::give_up(std::uint64_t id, const Error& error, std::string_view reason) {
  UpstreamDone done;
  {
    const std::lock_guard lock(mutex_);
    const auto job = jobs_.find(id);
    if (job == jobs_.end()) return;
    auto given_up = take(job);
    if (given_up.flight) {
      client_.cancel(given_up.flight->exchange);
      notify(cancelled_notification(id, reason));
    }
    done = std::move(given_up.done);
  }
  done(error);
}

}  // namespace ringside::worker
