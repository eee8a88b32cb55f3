#pragma once
// One attached ring as the worker sees it: the worker's end of the shared memory, the calls that came through it and
// are not answered yet, and the answers that found no room there. Shared by the ring thread, the calls under way and
// the gRPC server; a late answer after end() finds nothing and is dropped.

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "shm/worker_end.h"
#include "worker/runtime/runtime.h"

namespace ringside::worker {

/// Who attached, and what was agreed.
struct AttachmentTerms {
  std::uint64_t ring = 0;
  std::uint32_t generation = 1;
  std::uint32_t features = 0;
  pid_t peer_pid = 0;
  uid_t peer_uid = 0;
};

/// Who an answer is for.
struct AnsweredCaller {
  bool gave_up = false;       ///< nobody fetches it
  bool reads_slowly = false;  ///< perhaps: it reads the answer as a stream
};

/// An answer on its way through RingService.Fetch.
struct KeptAnswer {
  std::string header;  ///< a serialised McpResponse without its body
  std::string body;
};

/// What one ring did, since it was attached.
struct RingTally {
  std::uint64_t wakes = 0;             ///< of its client, asleep when an answer came
  std::uint64_t answers_inline = 0;    ///< found no room, and went over the channel
  std::uint64_t answers_in_parts = 0;  ///< found no room at once
  std::uint64_t requests_in_parts = 0;
};

class Attachment : public std::enable_shared_from_this<Attachment> {
 public:
  /// Asks the ring thread to look at this attachment: it was lied to, or it has become idle. Any thread.
  using Notify = std::function<void()>;

  /// Answers that wait to be fetched take no more than `max_kept_bytes` together: beyond, the oldest are forgotten.
  Attachment(AttachmentTerms terms, std::unique_ptr<shm::WorkerEnd> end, std::size_t max_kept_bytes, Notify notify);
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;
  ~Attachment();

  [[nodiscard]] const AttachmentTerms& terms() const { return terms_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

  // The ring thread's, until end().

  struct Round {
    bool any = false;               ///< something was taken
    std::string_view refusal = {};  ///< the client broke the protocol so; end the attachment
  };
  /// Takes a bounded number of submissions and gives them to the runtime.
  Round serve(Runtime& runtime);
  [[nodiscard]] shm::WorkerEnd& worker_end() { return *end_; }
  /// Ends it: calls under way are cancelled, both segments are unmapped as soon as nobody is inside a call below.
  void end();

  // Any thread's.

  /// The name of the lie that another thread came upon; empty while there was none.
  [[nodiscard]] std::string_view refusal() const;
  [[nodiscard]] RingTally tally() const;
  /// True when no call is under way and no answer waits to be fetched, or for room.
  [[nodiscard]] bool idle() const;
  /// From now on `notify` is called when the attachment becomes idle.
  void start_draining();

  /// Sends the answer of one call.
  void answer(std::uint32_t slot, std::uint64_t sequence, mcp::Response response, AnsweredCaller caller);

  /// The same for a stream, as Call has it.
  void begin_stream(std::uint32_t slot, std::uint64_t sequence, const mcp::Response& head);
  Written write_stream(std::uint32_t slot, std::uint64_t sequence, std::string_view piece);
  void end_stream(std::uint32_t slot, std::uint64_t sequence);
  /// See shm::WorkerEndOptions::on_room.
  void stream_has_room(std::uint32_t slot, std::uint64_t sequence);

  /// Gives a kept answer away, once; nothing when there is none. At once, or as soon as the thread that is answering
  /// this very call has found that its answer has no room.
  using FetchDone = std::function<void(std::optional<KeptAnswer>)>;
  void fetch(std::uint32_t slot, std::uint64_t sequence, FetchDone done);

  /// BodyHandles for this ring. kNotFound after end().
  Result<std::string> read(const shm::Handle& handle);
  Result<shm::Handle> lend(const shm::Handle& request, std::string_view body);

 private:
  struct UnderWay {
    std::uint64_t sequence = 0;  // 0: no call
    std::size_t bytes = 0;       // its header and body
    bool answering = false;      // a thread is inside answer()
    std::weak_ptr<Call> call;
    FetchDone fetcher;  // came before the answer was kept
  };
  struct Kept {
    std::uint32_t slot;
    std::uint64_t sequence;
    KeptAnswer answer;
  };

  std::string_view take_one(Runtime& runtime, shm::WorkerEnd::Taken& taken);
  void cancel(std::uint32_t slot, std::uint64_t sequence);
  bool enter(std::uint32_t slot, UnderWay call);
  std::shared_ptr<shm::WorkerEnd> begin_answer(std::uint32_t slot, std::uint64_t sequence);
  void finish_answer(std::uint32_t slot, std::uint64_t sequence, std::optional<KeptAnswer> kept, bool cancelled);
  void keep(Kept kept);
  void forget(std::uint32_t slot);
  std::shared_ptr<shm::WorkerEnd> end_if_alive() const;

  const AttachmentTerms terms_;
  const std::uint64_t bytes_;
  const std::size_t max_kept_bytes_;
  const Notify notify_;
  std::atomic<std::uint32_t> calls_under_way_{0};
  std::atomic<bool> draining_{false};
  std::atomic<std::uint64_t> answers_inline_{0};
  std::atomic<std::uint64_t> answers_in_parts_{0};
  std::atomic<std::uint64_t> requests_in_parts_{0};

  mutable std::mutex mutex_;
  std::shared_ptr<shm::WorkerEnd> end_;  // written by the ring thread only, under the mutex; read by it without
  std::vector<UnderWay> slots_;
  std::deque<Kept> kept_;  // oldest first
  std::size_t kept_bytes_ = 0;
  std::size_t bytes_under_way_ = 0;
};

}  // namespace ringside::worker
