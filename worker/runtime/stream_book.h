#pragma once
// The streams of the sessions that live in this worker: those that clients opened with GET, to hear what is no answer
// to anything they asked, and the answers under way. A message that belongs to no call goes to exactly one of them
// (2025-11-25, basic/transports, "Multiple Connections"). Thread-safe.

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "mcp/session.h"
#include "worker/runtime/call.h"
#include "worker/runtime/ledger.h"
#include "worker/runtime/stream.h"

namespace ringside::worker {

/// Held by shared_ptr; calls under way know it weakly.
class StreamBook : public std::enable_shared_from_this<StreamBook> {
 public:
  /// More GET streams of one session are refused with 429.
  static constexpr std::size_t kMaxStreamsPerSession = 16;
  /// And of more sessions, in one worker.
  static constexpr std::size_t kMaxSessions = 16'384;
  static constexpr std::size_t kMostAsked = 256;
  /// Questions of one session that wait for a stream.
  static constexpr std::size_t kMostWaiting = 16;

  /// Without a `writer` nothing is numbered, and nobody can come back.
  StreamBook(std::shared_ptr<Ledger> ledger, std::shared_ptr<EventWriter> writer)
      : ledger_(std::move(ledger)), writer_(std::move(writer)) {}

  /// Begins the stream that a GET asks for; it lasts until the call is cancelled or one of the functions below ends it.
  /// True: it has begun.
  bool listen(const std::shared_ptr<Call>& call, const mcp::SessionRecord& session);
  /// The same for a GET that goes on where another call of the session stopped. An id that is no such session's is
  /// answered with 400.
  void resume(const std::shared_ptr<Call>& call, const mcp::SessionRecord& session, std::string_view last_event_id);
  /// For the answer to a POST. `session` is null without one.
  [[nodiscard]] std::shared_ptr<Stream> answer_to(const std::shared_ptr<Call>& call, const mcp::SessionRecord* session,
                                                  std::string_view raw_id, std::string_view method,
                                                  std::size_t max_text_bytes);
  /// It has been answered.
  void forget(const std::string& session, const Stream* stream);

  /// Sends a JSON-RPC message to one stream of the session: a GET's, else (if `to_answers`) that of an answer under
  /// way. False: there is none that takes it.
  bool tell(const std::string& session, std::string_view json, bool to_answers = true);
  /// The same; it waits for the next stream if there is none. False: too many wait.
  bool ask(const std::string& session, std::string json);
  /// To every session that listens and of which `wants` says so, without a lock; unless it was told this piece of news,
  /// or a later one, since its streams changed last.
  void tell_all(std::string_view json, std::uint64_t news,
                const std::function<bool(const std::string& session, const std::string& server_id)>& wants);

  /// Asks `gone` of the next kMostAsked sessions, without a lock, and ends the streams of those that are. True: those
  /// were the last, and the next call begins anew.
  bool end_sessions(const std::function<bool(const std::string& session)>& gone);
  void end_session(const std::string& session);
  /// Ends all that answer nothing; later ones end as soon as they have begun. Their clients may come back, to another
  /// worker.
  void end_all();
  /// How many GET streams are heard.
  [[nodiscard]] std::size_t open();

 private:
  using Streams = std::vector<std::shared_ptr<Stream>>;
  struct Session {
    std::string server_id;
    std::uint64_t told = 0;           // the news it heard last
    const Stream* told_by = nullptr;  // which may have gone since, and the news with it
    Streams listening;                // the one opened last hears the messages
    Streams answering;                // the oldest first
    std::deque<std::string> waiting;
  };

  [[nodiscard]] StreamFacts facts_of(const mcp::SessionRecord& session) const;
  [[nodiscard]] std::shared_ptr<Stream> find(const std::string& session, const std::string& token);
  /// Enters a GET's stream; false: there are too many.
  bool enlist(const mcp::SessionRecord& session, const std::shared_ptr<Stream>& stream);
  void revive(const std::shared_ptr<Call>& call, const mcp::SessionRecord& session, std::uint64_t after,
              const Result<std::optional<Replay>>& replay);
  /// Whether that is news for a session that listens; then it counts as told.
  static bool is_news(Session& session, std::uint64_t news);
  /// What waited, if a stream takes it.
  void say_what_waited(const std::string& session);
  static void prune(Session& session);

  const std::shared_ptr<Ledger> ledger_;
  const std::shared_ptr<EventWriter> writer_;
  std::mutex mutex_;
  std::map<std::string, Session> sessions_;
  bool closed_ = false;
  std::string asked_;  // the session that end_sessions asked of last
};

}  // namespace ringside::worker
