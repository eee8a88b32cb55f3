#pragma once
// What lies between a transport that brings a streamed answer and the thread that reads it. Private to the library.

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/backlog.h"
#include "base/clock.h"
#include "base/result.h"
#include "client/cpp/client.h"
#include "shm/client_end.h"

namespace ringside {

struct Outcome;

/// Thread-safe; one transport writes, one thread reads. kMuchUnread (base/backlog.h) is kept in private memory; what
/// comes beyond stays where it is: in the socket, in the ring.
class StreamBuffer {
 public:
  StreamBuffer() = default;
  ~StreamBuffer();
  StreamBuffer(const StreamBuffer&) = delete;
  StreamBuffer& operator=(const StreamBuffer&) = delete;

  /// The transport's, until it is finished: the user's own may be gone by then, with a stream that was dropped.
  CallTrace trace;

  // The transport's. None of these blocks or runs a callback.

  /// Status and headers.
  void begin(Response head);
  /// False: wait for on_room before the next.
  bool push(std::string_view piece);
  /// A piece that lies in a ring: copied and given back, or kept as it is while much is unread, which holds the worker
  /// up.
  void push(shm::Loan piece);
  /// The end: a whole answer where none was begun, the mere end of one that was, or what went wrong.
  void finish(Outcome outcome);
  /// Held until it is finished, each that is given.
  void keep(std::shared_ptr<void> held);
  /// Runs on the reader's thread each time that there is room again after a push() that said no. Set before begin().
  void on_room(std::function<void()> callback);
  [[nodiscard]] bool begun() const;
  [[nodiscard]] bool has_room() const;

  // The reader's.

  /// Waits for the head. Nothing: it ended without one, and outcome() says how; or `until` has passed (kTimeout).
  Result<bool> wait_for_head(SteadyTime until);
  [[nodiscard]] const Response& head() const { return *head_; }
  [[nodiscard]] Outcome take_outcome();
  /// As Stream::read.
  Result<std::optional<std::string>> read(SteadyTime until);
  /// Where the trace goes once the reader has learned of the end; null: nowhere. Set before the transport begins.
  void report_to(CallTrace* place) { report_ = place; }

 private:
  void report();

  using Piece = std::variant<std::string, shm::Loan>;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Response> head_;  // written once
  std::deque<Piece> pieces_;
  std::size_t bytes_ = 0;  // of those in private memory
  std::unique_ptr<Outcome> outcome_;
  bool owes_room_ = false;
  std::function<void()> room_;
  std::vector<std::shared_ptr<void>> held_;
  CallTrace* report_ = nullptr;
};

/// What a user reads from. Dropping it cancels `pending`, which is null where all is there already.
std::shared_ptr<Stream> read_stream(std::shared_ptr<StreamBuffer> buffer, std::shared_ptr<PendingCall> pending);
/// The same for an answer that came whole.
Result<std::shared_ptr<Stream>> whole_stream(Answer answer);

}  // namespace ringside
