#pragma once
// What upstreams have asked of clients: under an id of ours on the way to the client, under the upstream's own on the
// way back. The bytes between stay as they came. Thread-safe.

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "worker/upstream/upstream.h"

namespace ringside::worker {

/// Whether a client with those capabilities (raw JSON) can be asked that.
[[nodiscard]] bool can_be_asked(std::string_view capabilities, std::string_view method);

class Questions {
 public:
  /// Open at once in one session; the oldest is forgotten for a newer one.
  static constexpr std::size_t kMostOpen = 256;

  /// `seed` makes the ids unlike those of any other worker.
  explicit Questions(std::uint64_t seed);

  /// Whom an answer is for.
  struct Asker {
    std::size_t upstream = 0;
    PersonaRef persona;
    std::string message;  ///< the client's message, with the upstream's own id or token in place
  };

  /// The message as the client gets it. `persona` is not null.
  [[nodiscard]] std::string ask(std::size_t upstream, const PersonaRef& persona, UpstreamQuestion question);
  /// The client's answer. Nothing: nobody asked that, or it has been answered.
  [[nodiscard]] std::optional<Asker> answer(const std::string& session, std::string_view raw_id, std::string message);
  /// The client's progress under a token of ours. Nothing: nobody waits for it.
  [[nodiscard]] std::optional<Asker> progress(const std::string& session, std::string_view raw_token,
                                              std::string message);
  /// The upstream takes a question back (notifications/cancelled): the notification as the client gets it.
  [[nodiscard]] std::optional<std::string> take_back(std::size_t upstream, const std::string& session,
                                                     std::string message);
  void end_session(const std::string& session);

 private:
  struct Open {
    std::string ours;  ///< raw id
    std::size_t upstream = 0;
    PersonaRef persona;
    std::string raw_id;
    std::string raw_token;  ///< empty: it wants no progress
  };
  [[nodiscard]] static std::deque<Open>::iterator find(std::deque<Open>& asked, std::string_view ours);

  const std::string prefix_;
  std::mutex mutex_;
  std::uint64_t next_ = 0;
  std::map<std::string, std::deque<Open>> sessions_;  // the oldest first
};

}  // namespace ringside::worker
