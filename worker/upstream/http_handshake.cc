// The part of HttpSession that opens a session at the upstream: initialize, then notifications/initialized.

#include <utility>

#include "base/log.h"
#include "mcp/session.h"
#include "worker/upstream/http_session.h"

namespace ringside::worker {
namespace {

constexpr auto kOpenTimeout = std::chrono::seconds(60);
constexpr auto kListenAgain = std::chrono::seconds(30);
constexpr auto kInitializedTimeout = std::chrono::seconds(10);

SteadyTime after(Duration time) { return system_clock().now() + time; }

}  // namespace

void HttpSession::open() {
  phase_ = Phase::kOpening;
  ++generation_;
  session_id_.clear();
  version_.clear();
  forget_ear();
  start(hub_->roads.calls, {.message = initialize_request(hub_->options.client_version, persona_),
                            .id = kInitializeId,
                            .deadline = after(kOpenTimeout),
                            .result = [this](PostResult result) { opened(std::move(result)); },
                            .repeatable = true});
}

void HttpSession::opened(PostResult result) {
  const auto& name = hub_->options.name;
  if (!result.answer.ok()) return open_failed(result.answer.error());
  auto version = agreed_version(name, *result.answer);
  if (!version.ok()) return open_failed(version.error());
  if (!result.session_id.empty() && !mcp::is_valid_session_id(result.session_id)) {
    log::warn("upstream gave a session id that no header can carry name={}", name);
    return open_failed({Code::kUpstream, 0, "the upstream gave a bad session id"});
  }
  if (!persona_) hub_->announcer.introduce(*result.answer);
  const std::lock_guard lock(mutex_);
  if (phase_ != Phase::kOpening) return;
  session_id_ = std::move(result.session_id);
  version_ = std::move(*version);
  // A strict server refuses requests before it has seen this.
  start(hub_->roads.calls, {.message = std::string(kInitializedNotification),
                            .deadline = after(kInitializedTimeout),
                            .result = [this](const PostResult& accepted) { initialized(accepted); }});
}

void HttpSession::initialized(const PostResult& result) {
  if (!result.answer.ok()) return open_failed(result.answer.error());
  bool tells = false;
  {
    const std::lock_guard lock(mutex_);
    if (phase_ != Phase::kOpening) return;
    phase_ = Phase::kReady;
    hub_->tally.ready();
    log::info("upstream session opened name={} version={} own={}", hub_->options.name, version_, persona_ != nullptr);
    for (const auto id : std::exchange(waiting_, {})) {
      if (const auto job = jobs_.find(id); job != jobs_.end()) dispatch(id, job->second);
    }
    open_ear();
    tells = persona_ != nullptr || generation_ > 1;
  }
  if (tells) hub_->announcer.reopened(persona_);
}

void HttpSession::open_failed(const Error& error) {
  std::vector<UpstreamDone> dones;
  {
    const std::lock_guard lock(mutex_);
    if (phase_ != Phase::kOpening) return;
    phase_ = Phase::kNone;
    session_id_.clear();
    hub_->tally.failed();
    // Who listened before goes on trying: what it subscribed to is to be said again.
    if (ear_.wanted && generation_ > 1) listen_again(kListenAgain);
    // Everything that is not under way waits for the session that did not come.
    for (const auto id : std::exchange(waiting_, {})) {
      if (const auto job = jobs_.find(id); job != jobs_.end()) dones.push_back(take(job).done);
    }
  }
  log::warn("upstream session not opened name={} reason=\"{}\" waiting={}", hub_->options.name, error.message,
            dones.size());
  for (const auto& done : dones) done(error);
}

}  // namespace ringside::worker
