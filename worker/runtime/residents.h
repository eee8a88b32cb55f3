#pragma once
// The sessions that live in this worker, as upstreams know them: the client that each stands for, which upstreams it
// has spoken to, and what is said again to an upstream that has lost the conversation. Thread-safe.

#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mcp/session.h"
#include "worker/upstream/upstream.h"

namespace ringside::worker {

class Residents {
 public:
  /// For whom the session's conversations are held. `changed`: the client has initialized anew, as another one.
  [[nodiscard]] PersonaRef persona(const mcp::SessionRecord& session, bool& changed);
  /// The session has a conversation with that upstream now. True: for the first time, and somebody listens.
  bool spoke_to(const std::string& session, std::size_t upstream);
  /// Somebody listens to what comes of its own accord. The upstreams it has spoken to.
  [[nodiscard]] std::vector<std::size_t> listens(const std::string& session);
  [[nodiscard]] std::vector<std::size_t> spoken_to(const std::string& session);
  [[nodiscard]] bool has_spoken_to(const std::string& session, std::size_t upstream);

  // What an upstream has agreed to; raw JSON strings. Each returns the state as it is kept in the store.
  [[nodiscard]] std::string set_level(const std::string& session, std::string_view raw_level);
  [[nodiscard]] std::string subscribed(const std::string& session, std::size_t upstream, std::string_view raw_uri);
  [[nodiscard]] std::string unsubscribed(const std::string& session, std::size_t upstream, std::string_view raw_uri);

  struct Wishes {
    std::string raw_level;  ///< empty: none
    std::vector<std::string> raw_uris;
  };
  [[nodiscard]] Wishes wishes(const std::string& session, std::size_t upstream);
  /// Sessions that have subscribed to a resource of that upstream.
  [[nodiscard]] std::vector<std::string> subscribers(std::size_t upstream, std::string_view raw_uri);

  void end_session(const std::string& session);
  /// The next ones in the order of their names.
  [[nodiscard]] std::vector<std::string> after(const std::string& session, std::size_t most);

 private:
  struct Resident {
    PersonaRef persona;
    std::set<std::size_t> spoken_to;
    bool listens = false;
    std::string raw_level;
    std::set<std::pair<std::size_t, std::string>> subscriptions;
  };
  [[nodiscard]] static std::string state_of(const Resident& resident);
  static void read_state(std::string_view state, Resident& resident);

  std::mutex mutex_;
  std::map<std::string, Resident> residents_;
};

}  // namespace ringside::worker
