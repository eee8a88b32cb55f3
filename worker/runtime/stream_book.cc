#include "worker/runtime/stream_book.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/random.h"
#include "base/text.h"
#include "rpc/errors.h"

namespace ringside::worker {
namespace {

constexpr std::string_view kPrimedSince = "2025-11-25";
constexpr int kComeBackSoonMs = 500;
constexpr std::uint64_t kMostUnlogged = 1'000'000;  // events by which a log may lag

/// 16 hex digits.
std::string new_token() {
  std::string token;
  const std::uint64_t bits = random_u64();
  for (unsigned shift = 0; shift < 64; shift += 8) append_hex(token, static_cast<unsigned char>(bits >> shift));
  return token;
}

mcp::Response too_many() { return rpc::detail_error(429, "Too many streams of this session"); }

}  // namespace

StreamFacts StreamBook::facts_of(const mcp::SessionRecord& session) const {
  StreamFacts facts;
  if (writer_ == nullptr) return facts;
  facts.head.token = new_token();
  facts.head.session = session.id;
  facts.writer = writer_;
  // Clients of older revisions take an event without data for one that holds no JSON.
  facts.primed = session.protocol_version >= kPrimedSince;
  return facts;
}

void StreamBook::prune(Session& session) {
  std::erase_if(session.listening, [](const auto& each) { return each->over(); });
}

bool StreamBook::enlist(const mcp::SessionRecord& session, const std::shared_ptr<Stream>& stream) {
  Streams left;  // freed after the lock
  const std::lock_guard lock(mutex_);
  if (sessions_.size() >= kMaxSessions && !sessions_.contains(session.id)) return false;
  Session& entry = sessions_[session.id];
  entry.server_id = session.server_id;
  entry.told_by = nullptr;
  Streams& streams = entry.listening;
  // One that nobody hears is known from the log, if somebody comes back for it.
  const auto heard =
      std::stable_partition(streams.begin(), streams.end(), [](const auto& each) { return each->heard(); });
  left.assign(std::make_move_iterator(heard), std::make_move_iterator(streams.end()));
  streams.erase(heard, streams.end());
  if (streams.size() >= kMaxStreamsPerSession) return false;
  streams.push_back(stream);
  return true;
}

bool StreamBook::listen(const std::shared_ptr<Call>& call, const mcp::SessionRecord& session) {
  const auto stream = std::make_shared<Stream>(call, ledger_, facts_of(session));
  if (!enlist(session, stream)) {
    ledger_->answer(call, too_many());
    return false;
  }
  if (!stream->open()) return false;
  bool closed = false;
  {
    const std::lock_guard lock(mutex_);
    closed = closed_;
  }
  if (closed) {
    stream->end(stream->numbered() ? kComeBackSoonMs : 0);
    return false;
  }
  say_what_waited(session.id);
  return true;
}

std::shared_ptr<Stream> StreamBook::find(const std::string& session, const std::string& token) {
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return nullptr;
  for (const Streams* streams : {&found->second.listening, &found->second.answering}) {
    const auto at =
        std::find_if(streams->begin(), streams->end(), [&](const auto& each) { return each->token() == token; });
    if (at != streams->end()) return *at;
  }
  return nullptr;
}

void StreamBook::resume(const std::shared_ptr<Call>& call, const mcp::SessionRecord& session,
                        std::string_view last_event_id) {
  auto id = read_event_id(last_event_id);
  if (!id || writer_ == nullptr) return ledger_->answer(call, rpc::detail_error(400, "Unknown event id"));
  if (const auto stream = find(session.id, id->token); stream != nullptr && !stream->over()) {
    stream->resume(call, id->number);
    return say_what_waited(session.id);
  }
  writer_->replay(session.id, std::move(id->token), id->number,
                  [weak = weak_from_this(), call, session, after = id->number](const auto& replay) {
                    if (const auto self = weak.lock()) self->revive(call, session, after, replay);
                  });
}

/// On the writer's thread. Whoever had the stream is gone, or it is over.
void StreamBook::revive(const std::shared_ptr<Call>& call, const mcp::SessionRecord& session, std::uint64_t after,
                        const Result<std::optional<Replay>>& replay) {
  StreamFacts facts;
  if (replay.ok() && *replay) {
    facts.head = (*replay)->head;
    // The client may have heard more than the log did: no number of that is given again.
    const std::uint64_t last = (*replay)->last;
    facts.next = std::max(last, std::min(after, last + kMostUnlogged)) + 1;
  }
  facts.writer = writer_;
  const auto stream = Stream::revive(call, ledger_, std::move(facts));
  const bool good = replay.ok() && *replay && !(*replay)->evicted;
  const bool listens = good && !stream->answers_post() && !stream->over();
  if (listens && !enlist(session, stream)) return ledger_->answer(call, too_many());
  stream->take_over(call, replay);
  if (!good || stream->over()) return;
  if (!listens) return stream->answer(rpc::outcome_unknown((*replay)->head.request_id));
  bool closed = false;
  {
    const std::lock_guard lock(mutex_);
    closed = closed_;
  }
  if (closed) return stream->end(kComeBackSoonMs);
  say_what_waited(session.id);
}

std::shared_ptr<Stream> StreamBook::answer_to(const std::shared_ptr<Call>& call, const mcp::SessionRecord* session,
                                              std::string_view raw_id, std::string_view method,
                                              std::size_t max_text_bytes) {
  const bool joins = session != nullptr && call->streams();
  StreamFacts facts = joins ? facts_of(*session) : StreamFacts{};
  facts.head.request_id = raw_id;
  facts.head.method = method;
  facts.max_text_bytes = max_text_bytes;
  auto stream = std::make_shared<Stream>(call, ledger_, std::move(facts));
  if (joins) {
    {
      const std::lock_guard lock(mutex_);
      sessions_[session->id].answering.push_back(stream);
    }
    say_what_waited(session->id);
  }
  return stream;
}

void StreamBook::forget(const std::string& session, const Stream* stream) {
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  Session& at = found->second;
  std::erase_if(at.answering, [stream](const auto& each) { return each.get() == stream; });
  if (at.answering.empty() && at.listening.empty() && at.waiting.empty()) sessions_.erase(found);
}

bool StreamBook::tell(const std::string& session, std::string_view json, bool to_answers) {
  Streams candidates;
  {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(session);
    if (found == sessions_.end()) return false;
    prune(found->second);
    candidates.assign(found->second.listening.rbegin(), found->second.listening.rend());
    const Streams& answering = found->second.answering;
    if (to_answers) candidates.insert(candidates.end(), answering.begin(), answering.end());
  }
  // Without the lock, for a door copies. One that is heard before one whose client may come back for it.
  for (const bool unheard : {false, true}) {
    for (const auto& stream : candidates) {
      if (unheard && stream->answers_post()) continue;
      if (stream->say(json, unheard)) return true;
    }
  }
  return false;
}

bool StreamBook::ask(const std::string& session, std::string json) {
  if (tell(session, json)) return true;
  const std::lock_guard lock(mutex_);
  std::deque<std::string>& waiting = sessions_[session].waiting;
  if (waiting.size() >= kMostWaiting) return false;
  waiting.push_back(std::move(json));
  return true;
}

void StreamBook::say_what_waited(const std::string& session) {
  std::deque<std::string> waiting;
  {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(session);
    if (found == sessions_.end()) return;
    waiting.swap(found->second.waiting);
  }
  for (std::string& json : waiting) static_cast<void>(ask(session, std::move(json)));
}

bool StreamBook::is_news(Session& session, std::uint64_t news) {
  const auto hears = std::find_if(session.listening.rbegin(), session.listening.rend(),
                                  [](const auto& each) { return each->heard(); });
  const Stream* const by = hears == session.listening.rend() ? nullptr : hears->get();
  if (session.told >= news && session.told_by == by) return false;
  session.told = news;
  session.told_by = by;
  return true;
}

void StreamBook::tell_all(std::string_view json, std::uint64_t news,
                          const std::function<bool(const std::string& session, const std::string& server_id)>& wants) {
  std::vector<std::pair<std::string, std::string>> listening;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [session, each] : sessions_) {
      if (!each.listening.empty()) listening.emplace_back(session, each.server_id);
    }
  }
  for (const auto& [session, server_id] : listening) {
    if (!wants(session, server_id)) continue;
    {
      const std::lock_guard lock(mutex_);
      const auto found = sessions_.find(session);
      if (found == sessions_.end() || !is_news(found->second, news)) continue;
    }
    static_cast<void>(tell(session, json, false));
  }
}

bool StreamBook::end_sessions(const std::function<bool(const std::string& session)>& gone) {
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

std::size_t StreamBook::open() {
  const std::lock_guard lock(mutex_);
  std::size_t count = 0;
  for (const auto& [name, session] : sessions_) {
    count += static_cast<std::size_t>(std::count_if(session.listening.begin(), session.listening.end(),
                                                    [](const auto& each) { return each->heard(); }));
  }
  return count;
}

void StreamBook::end_session(const std::string& session) {
  if (writer_ != nullptr) writer_->erase(session);
  Session ended;
  {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(session);
    if (found == sessions_.end()) return;
    ended = std::move(found->second);
    sessions_.erase(found);
  }
  for (const auto& stream : ended.listening) stream->end();
}

void StreamBook::end_all() {
  Streams streams;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    for (auto& [name, session] : sessions_) {
      std::move(session.listening.begin(), session.listening.end(), std::back_inserter(streams));
      session.listening.clear();
    }
  }
  for (const auto& stream : streams) stream->end(stream->numbered() ? kComeBackSoonMs : 0);
}

}  // namespace ringside::worker
