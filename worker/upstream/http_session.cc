#include "worker/upstream/http_session.h"

#include <utility>

#include "base/log.h"
#include "base/text.h"

namespace ringside::worker {
namespace {

constexpr auto kCloseTimeout = std::chrono::milliseconds(500);
constexpr std::size_t kMostFarewellBytes = 64ULL * 1024;  // of an answer that nobody reads

constexpr Error kClosed{Code::kCancelled, 0, "the upstream is being closed"};

/// Whether an answer under HTTP 400 may speak of the session rather than of the request. It is asked once more then, in
/// a new session: what was refused has not run.
bool blames_the_session(const Result<std::string>& answer) {
  if (!answer.ok()) return true;  // no answer to this request at all
  const auto error = mcp::member(*answer, "error");
  const auto message = error ? mcp::member(*error, "message") : std::nullopt;
  return message && ascii_lower(*message).find("session") != std::string::npos;
}

}  // namespace

HttpSession::HttpSession(std::shared_ptr<HttpHub> hub, Timer& timer, PersonaRef persona)
    : hub_(std::move(hub)), timer_(timer), persona_(std::move(persona)) {}

void HttpSession::send(UpstreamRequest request, UpstreamDone done) {
  const auto id = request.id;
  {
    const std::lock_guard lock(mutex_);
    if (phase_ != Phase::kClosed) {
      const auto [place, fresh] = jobs_.try_emplace(id);
      RS_CHECK(fresh, "ids are unique in a worker");
      Job& job = place->second;
      job.message = std::move(request.message);
      job.done = std::move(done);
      job.on_message = std::move(request.on_message);
      job.on_question = std::move(request.on_question);
      job.headers = std::move(request.headers);
      job.repeatable = request.repeatable;
      if (request.deadline != SteadyTime::max()) {
        job.deadline = timer_.arm(request.deadline, [self = weak_from_this(), id] {
          const auto session = self.lock();
          if (session) session->give_up(id, {Code::kTimeout, 0, "the upstream did not answer in time"}, "timed out");
        });
      }
      dispatch(id, job);
      return;
    }
  }
  done(kClosed);
}

void HttpSession::cancel(std::uint64_t id) { give_up(id, {Code::kCancelled, 0, "cancelled"}, "cancelled"); }

void HttpSession::resume(std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  const auto job = jobs_.find(id);
  if (job == jobs_.end() || !job->second.flight) return;
  Flight& flight = *job->second.flight;
  flight.resumed = true;
  flight.out_of_patience = false;
  timer_.disarm(flight.patience);
  flight.road->resume(flight.exchange);
}

void HttpSession::post(std::string message) {
  const std::lock_guard lock(mutex_);
  if (phase_ == Phase::kReady) side_post(std::move(message));
}

bool HttpSession::busy() {
  const std::lock_guard lock(mutex_);
  return !jobs_.empty() || (ear_.wanted && !ear_.none && phase_ == Phase::kReady);
}

std::future<void> HttpSession::close() {
  std::vector<UpstreamDone> dones;
  std::future<void> closed;
  {
    const std::lock_guard lock(mutex_);
    phase_ = Phase::kClosed;
    closing_.emplace();
    closing_->left += flights_.size();
    closed = closing_->promise.get_future();
    dones = take_all();
    timer_.disarm(ear_.again);
    for (const auto& flight : flights_) flight->road->cancel(flight->exchange);
    if (session_id_.empty()) {
      one_over();
    } else {
      auto farewell = request();
      farewell.method = "DELETE";
      farewell.deadline = system_clock().now() + kCloseTimeout;
      farewell.repeatable = true;
      hub_->roads.side.fetch(std::move(farewell), kMostFarewellBytes,
                             [self = shared_from_this()](const Result<mcp::Response>&) {
                               const std::lock_guard inner(self->mutex_);
                               self->one_over();
                             });
    }
  }
  for (const auto& done : dones) done(kClosed);
  return closed;
}

void HttpSession::one_over() {
  if (closing_ && --closing_->left == 0) closing_->promise.set_value();
}

void HttpSession::dispatch(std::uint64_t id, Job& job) {
  if (phase_ == Phase::kReady) {
    job.generation = generation_;
    job.sent = true;
    job.in_session = !session_id_.empty();
    // The bytes are needed again where a session can be lost, or a stream break off, and only once.
    const bool keeps = (job.in_session || job.repeatable) && !job.sent_again;
    job.flight = start(hub_->roads.calls, {.message = keeps ? job.message : std::move(job.message),
                                           .id = id,
                                           .result = [this, id](PostResult result) { answered(id, std::move(result)); },
                                           .job = &job,
                                           .repeatable = job.repeatable});
    return;
  }
  waiting_.push_back(id);
  if (phase_ == Phase::kNone) open();
}

HttpSession::Job HttpSession::take(std::unordered_map<std::uint64_t, Job>::iterator job) {
  auto taken = std::move(job->second);
  jobs_.erase(job);
  timer_.disarm(taken.deadline);
  timer_.disarm(taken.resumption);
  return taken;
}

std::vector<UpstreamDone> HttpSession::take_all() {
  std::vector<UpstreamDone> dones;
  dones.reserve(jobs_.size());
  while (!jobs_.empty()) dones.push_back(take(jobs_.begin()).done);
  waiting_.clear();
  return dones;
}

/// Nothing ran where the session was not known; else what may be run twice goes again, and only once.
bool HttpSession::goes_again(const Job& job, const PostResult& result) const {
  if (job.sent_again) return false;
  const bool ran = !job.last_event_id.empty();  // its stream had begun
  if (!ran && job.in_session && result.http_status == 404) return true;
  if (!ran && job.in_session && result.http_status == 400) return blames_the_session(result.answer);
  if (!job.repeatable || result.answer.ok()) return false;
  return result.broke_off || result.answer.error().code == Code::kUnavailable;
}

void HttpSession::answered(std::uint64_t id, PostResult result) {
  UpstreamDone done;
  {
    const std::lock_guard lock(mutex_);
    const auto found = jobs_.find(id);
    if (found == jobs_.end()) return;
    Job& job = found->second;
    if (goes_on(id, job, result)) return;
    if (goes_again(job, result)) {
      job.sent_again = true;
      job.sent = false;
      job.last_event_id.clear();
      job.flight = nullptr;
      const bool lost = result.http_status == 404 || result.http_status == 400;
      if (lost && phase_ == Phase::kReady && job.generation == generation_) {
        log::info("upstream lost the session, opening another name={}", hub_->options.name);
        phase_ = Phase::kNone;
      }
      dispatch(id, job);
      return;
    }
    done = take(found).done;
  }
  done(std::move(result.answer));
}

void HttpSession::heard(Incoming incoming, std::string message) {
  using Kind = Incoming::Kind;
  switch (incoming.kind) {
    case Kind::kAnswer:
      return hub_->tally.dropped("an answer that nobody waits for");
    case Kind::kNoise:
      return hub_->tally.dropped("not a JSON-RPC message");
    case Kind::kProgress:
      return;  // of a request that is over, or whose caller does not hear it
    case Kind::kNotice:
    case Kind::kCancelled:
    case Kind::kListChanged:
      return hub_->announcer.tell(persona_, std::move(incoming), std::move(message));
    case Kind::kQuestion:
      break;
  }
  if (hub_->announcer.ask(persona_, {std::move(message), incoming.raw_id, incoming.method})) return;
  const std::lock_guard lock(mutex_);
  refuse(incoming);
}

void HttpSession::give_up(std::uint64_t id, const Error& error, std::string_view reason) {
  UpstreamDone done;
  {
    const std::lock_guard lock(mutex_);
    const auto job = jobs_.find(id);
    if (job == jobs_.end()) return;
    auto given_up = take(job);
    if (given_up.flight) given_up.flight->road->cancel(given_up.flight->exchange);
    if (given_up.sent && phase_ == Phase::kReady) side_post(cancelled_notification(id, reason));
    done = std::move(given_up.done);
  }
  done(error);
}

}  // namespace ringside::worker
