#pragma once
// What upstreams say that answers nothing: a question finds its session's client, a notice the stream that hears it.

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/clock.h"
#include "worker/federation/federation.h"
#include "worker/runtime/questions.h"
#include "worker/runtime/residents.h"
#include "worker/runtime/stream_book.h"
#include "worker/upstream/backends.h"

namespace ringside::worker {

/// Thread-safe. Held by the upstreams until they are closed.
class Notices final : public UpstreamSink {
 public:
  Notices(std::shared_ptr<Backends> backends, std::shared_ptr<Federation> federation,
          std::shared_ptr<StreamBook> streams, std::shared_ptr<Questions> questions,
          std::shared_ptr<Residents> residents, const Clock& clock);

  /// Somebody reads a list: a change that comes now is news.
  void list_read() { reads_.fetch_add(1, std::memory_order_relaxed); }

  void list_changed(std::size_t upstream, const PersonaRef& persona, List list) override;
  void notice(std::size_t upstream, const PersonaRef& persona, std::string method, std::string message) override;
  bool question(std::size_t upstream, const PersonaRef& persona, UpstreamQuestion question) override;
  void reopened(std::size_t upstream, const PersonaRef& persona) override;

  /// The same for a question that belongs to a call: its own stream (which may be null) is the first choice.
  bool ask(std::size_t upstream, const PersonaRef& persona, UpstreamQuestion question, Stream* stream);

 private:
  /// A change that an upstream has told.
  struct Change {
    std::uint64_t news = 0;   ///< counts all changes
    std::uint64_t reads = 0;  ///< of lists, by then
    SteadyTime at{};
  };
  /// The number of a change. An upstream that says the same again before anybody has read a list tells nothing new, but
  /// for once in a while: another worker may have read it.
  [[nodiscard]] std::uint64_t news_of(std::size_t upstream, List list);
  void say_again(std::size_t upstream, const PersonaRef& persona, std::string_view method, std::string_view key,
                 std::string_view raw_value);

  const std::shared_ptr<Backends> backends_;
  const std::shared_ptr<Federation> federation_;
  const std::shared_ptr<StreamBook> streams_;
  const std::shared_ptr<Questions> questions_;
  const std::shared_ptr<Residents> residents_;
  const Clock& clock_;
  std::atomic<std::uint64_t> reads_{0};
  std::mutex mutex_;
  std::uint64_t news_ = 0;
  std::map<std::pair<std::size_t, List>, Change> changes_;
};

}  // namespace ringside::worker
