#include "worker/runtime/listeners.h"

#include <algorithm>
#include <utility>

#include "mcp/sse.h"
#include "rpc/errors.h"
#include "worker/runtime/event_answer.h"

namespace ringside::worker {

void Listeners::add(const std::shared_ptr<Call>& call, const std::string& session) {
  bool listens = false;
  {
    std::unique_lock lock(mutex_);
    const auto found = sessions_.find(session);
    if (found == sessions_.end() ? sessions_.size() >= kMaxSessions
                                 : found->second.streams.size() >= kMaxStreamsPerSession) {
      lock.unlock();  // a door may serve its next call from inside an answer
      return ledger_->answer(call, rpc::detail_error(429, "Too many streams of this session"));
    }
    auto head = event_stream_head();
    ledger_->sign(*call, head);
    // Under the lock: no message comes before the head.
    listens = call->begin(std::move(head)) && !closed_;
    if (listens) {
      Session& listening = sessions_[session];
      listening.streams.push_back(call);
      listening.told = 0;
    }
  }
  if (!listens) return ledger_->end(call);
  call->on_cancel([weak = weak_from_this(), session, raw = call.get()] {
    if (const auto self = weak.lock()) self->drop(session, raw);
  });
}

void Listeners::tell_all(std::string_view json, std::uint64_t news) {
  const std::string event = mcp::format_sse(json);
  const std::lock_guard telling(telling_mutex_);
  Streams streams;
  {
    const std::lock_guard lock(mutex_);
    for (auto& [session, each] : sessions_) {
      if (each.told >= news) continue;
      each.told = news;
      streams.push_back(each.streams.back());
    }
  }
  // Without the lock, for a door copies; what has ended meanwhile takes nothing more. Who does not read is cut.
  for (const auto& stream : streams) {
    if (stream->write(event) == Written::kCut) stream->cancel();
  }
}

bool Listeners::end_sessions(const std::function<bool(const std::string& session)>& gone) {
  std::vector<std::string> names;
  bool last = false;
  {
    const std::lock_guard lock(mutex_);
    auto at = sessions_.upper_bound(asked_);
    for (; at != sessions_.end() && names.size() < kMostAsked; ++at) names.push_back(at->first);
    last = at == sessions_.end();
    asked_ = last || names.empty() ? std::string() : names.back();
  }
  for (const std::string& name : names) {
    if (gone(name)) end_session(name);
  }
  return last;
}

std::size_t Listeners::open() {
  const std::lock_guard lock(mutex_);
  std::size_t count = 0;
  for (const auto& [session, each] : sessions_) count += each.streams.size();
  return count;
}

void Listeners::end_session(const std::string& session) {
  Streams streams;
  {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(session);
    if (found == sessions_.end()) return;
    streams = std::move(found->second.streams);
    sessions_.erase(found);
  }
  end(streams);
}

void Listeners::end_all() {
  std::map<std::string, Session> sessions;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    sessions.swap(sessions_);
  }
  for (const auto& [session, each] : sessions) end(each.streams);
}

void Listeners::end(const Streams& streams) {
  for (const auto& stream : streams) ledger_->end(stream);
}

void Listeners::drop(const std::string& session, const Call* call) {
  Streams dropped;
  {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(session);
    if (found == sessions_.end()) return;
    Streams& streams = found->second.streams;
    const auto at =
        std::find_if(streams.begin(), streams.end(), [call](const auto& each) { return each.get() == call; });
    if (at == streams.end()) return;
    dropped.push_back(std::move(*at));
    streams.erase(at);
    found->second.told = 0;
    if (streams.empty()) sessions_.erase(found);
  }
  end(dropped);
}

}  // namespace ringside::worker
