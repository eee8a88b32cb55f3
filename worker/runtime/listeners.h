#pragma once
// The streams that clients opened with GET, to hear what is no answer to anything they asked. A session may have
// several; a message goes to one of them (2025-11-25, basic/transports, "Multiple Connections"). Thread-safe.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "worker/runtime/call.h"
#include "worker/runtime/ledger.h"

namespace ringside::worker {

/// Held by shared_ptr; calls under way know it weakly.
class Listeners : public std::enable_shared_from_this<Listeners> {
 public:
  /// More streams of one session are refused with 429.
  static constexpr std::size_t kMaxStreamsPerSession = 16;
  /// And of more sessions, in one worker.
  static constexpr std::size_t kMaxSessions = 16'384;
  static constexpr std::size_t kMostAsked = 256;

  explicit Listeners(std::shared_ptr<Ledger> ledger) : ledger_(std::move(ledger)) {}

  /// Begins the stream that `call` asks for; it lasts until the call is cancelled or one of the functions below ends
  /// it.
  void add(const std::shared_ptr<Call>& call, const std::string& session);
  /// Sends a JSON-RPC notification to every session that listens, unless it was told this piece of news, or a later
  /// one, since its streams changed last: an upstream that says the same again and again has one effect here.
  void tell_all(std::string_view json, std::uint64_t news);
  /// Asks `gone` of the next kMostAsked sessions, without a lock, and ends the streams of those that are. True: those
  /// were the last, and the next call begins anew.
  bool end_sessions(const std::function<bool(const std::string& session)>& gone);
  void end_session(const std::string& session);
  /// Ends all of them; later ones end as soon as they have begun.
  void end_all();
  /// How many streams there are.
  [[nodiscard]] std::size_t open();

 private:
  using Streams = std::vector<std::shared_ptr<Call>>;
  struct Session {
    Streams streams;         // the one opened last hears the messages
    std::uint64_t told = 0;  // the news that it heard last; 0 once a stream came or went, which it may have gone with
  };

  void end(const Streams& streams);
  void drop(const std::string& session, const Call* call);

  const std::shared_ptr<Ledger> ledger_;
  std::mutex mutex_;
  std::map<std::string, Session> sessions_;
  bool closed_ = false;
  std::string asked_;         // the session that end_sessions asked of last
  std::mutex telling_mutex_;  // one message at a time; taken before mutex_
};

}  // namespace ringside::worker
