#pragma once
// Calls that upstreams are working on for sessions that live here, by the id that the client gave each: so that the
// client can cancel one. `1` and `"1"` are two ids, since the raw bytes count. Thread-safe.

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

namespace ringside::worker {

class UnderWay {
 public:
  /// `cancel` runs at most once, without a lock. Of two calls under one id the later one can be cancelled. A number
  /// for remove().
  std::uint64_t add(const std::string& session, std::string_view raw_id, std::function<void()> cancel);
  void remove(const std::string& session, std::string_view raw_id, std::uint64_t number);
  /// False: there is no such call.
  bool cancel(const std::string& session, std::string_view raw_id);

 private:
  struct Entry {
    std::uint64_t number = 0;
    std::function<void()> cancel;
  };
  std::mutex mutex_;
  std::uint64_t next_ = 1;
  std::map<std::pair<std::string, std::string>, Entry, std::less<>> calls_;
};

}  // namespace ringside::worker
