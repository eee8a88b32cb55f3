#include "client/cpp/transport.h"

#include <condition_variable>
#include <mutex>
#include <utility>

#include "client/cpp/stream_buffer.h"

namespace ringside {

Outcome Transport::call(Request request, CallTrace* trace, shm::Loan* /*loan*/) {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<Outcome> outcome;
  call_async(std::move(request), trace, [&](Outcome ended) {
    // Notified under the lock: as soon as it is free, the waiting thread takes the condition variable down.
    const std::lock_guard lock(mutex);
    outcome = std::move(ended);
    changed.notify_one();
  });
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return outcome.has_value(); });
  return std::move(*outcome);
}

std::shared_ptr<PendingCall> Transport::stream(Request request, CallTrace* trace,
                                               std::shared_ptr<StreamBuffer> buffer) {
  return call_async(std::move(request), trace,
                    [buffer = std::move(buffer)](Outcome outcome) { buffer->finish(std::move(outcome)); });
}

}  // namespace ringside
