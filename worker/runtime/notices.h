#pragma once
// What upstreams say that answers nothing: a question finds its session's client, a notice the stream that hears it.

#include <memory>
#include <string>

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
          std::shared_ptr<Residents> residents);

  void list_changed(std::size_t upstream, const PersonaRef& persona, List list) override;
  void notice(std::size_t upstream, const PersonaRef& persona, std::string method, std::string message) override;
  bool question(std::size_t upstream, const PersonaRef& persona, UpstreamQuestion question) override;
  void reopened(std::size_t upstream, const PersonaRef& persona) override;

  /// The same for a question that belongs to a call: its own stream (which may be null) is the first choice.
  bool ask(std::size_t upstream, const PersonaRef& persona, UpstreamQuestion question, Stream* stream);

 private:
  void say_again(std::size_t upstream, const PersonaRef& persona, std::string_view method, std::string_view key,
                 std::string_view raw_value);

  const std::shared_ptr<Backends> backends_;
  const std::shared_ptr<Federation> federation_;
  const std::shared_ptr<StreamBook> streams_;
  const std::shared_ptr<Questions> questions_;
  const std::shared_ptr<Residents> residents_;
};

}  // namespace ringside::worker
