#pragma once
// The Client behind Client::connect: checks a request, keeps one transport, and replaces it when it is gone. Private to
// the library; tests give it transports of their own.

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "client/cpp/client.h"
#include "client/cpp/errand_thread.h"
#include "client/cpp/transport.h"

namespace ringside {

/// Opens one door (never kAuto) within `options.connect_timeout`.
using Connector = std::function<Result<std::shared_ptr<Transport>>(DoorChoice door, const ClientOptions& options)>;

class DoorClient final : public Client {
 public:
  /// A client that may be let go on any thread, also inside one of its own callbacks. Connects first; fails as connect
  /// does.
  static Result<std::shared_ptr<Client>> open(ClientOptions options, Connector connector);
  /// Answers what is under way with kCancelled. Waits for a connect that is under way, at most its connect_timeout.
  ~DoorClient() override;

  Answer call(Request request, const CallOptions& options) override;
  std::shared_ptr<PendingCall> call_async(Request request, const CallOptions& options,
                                          std::function<void(Answer)> done) override;
  Result<BorrowedAnswer> borrow(Request request, const CallOptions& options) override;
  Result<std::shared_ptr<Stream>> stream(Request request, const StreamOptions& options) override;
  [[nodiscard]] DoorChoice door() const override;

 private:
  /// A transport and how many calls are under way through it: it goes away only when there are none.
  struct Line {
    std::atomic<std::uint32_t> under_way{0};
    std::shared_ptr<Transport> transport;  ///< goes first: its calls still count down as it ends them
  };
  class Lease;
  class AsyncCall;

  DoorClient(ClientOptions options, Connector connector);
  /// An answer that needs no worker: the request is over the limit, or no contract can carry it.
  [[nodiscard]] std::optional<Response> refuse(const Request& request) const;
  /// The retired lines that no call is under way through any more.
  std::vector<std::unique_ptr<Line>> take_idle();
  void drop_idle_soon();
  /// The line in use, if it is usable.
  std::optional<Lease> current();
  /// The same, connecting again first where that is needed. One thread connects, the others wait for it.
  Result<Lease> acquire(SteadyTime deadline);
  Result<std::shared_ptr<Transport>> connect(SteadyTime deadline);
  /// The same for a client that was connected before: whoever served it comes back, perhaps after a pause, so it is
  /// patient for connect_timeout.
  Result<std::shared_ptr<Transport>> connect_again(SteadyTime deadline);
  Result<std::shared_ptr<Transport>> choose(SteadyTime deadline);

  /// Calls, again where that is called for; `loan` as Transport::call.
  Answer call_waiting(Request request, const CallOptions& options, shm::Loan* loan);
  void send(const std::shared_ptr<AsyncCall>& call, Lease lease);
  void send_later(const std::shared_ptr<AsyncCall>& call);
  void settle(const std::shared_ptr<AsyncCall>& call, Outcome outcome);

  const ClientOptions options_;
  const Connector connector_;

  mutable std::mutex mutex_;
  std::condition_variable connected_;
  std::unique_ptr<Line> line_;
  std::vector<std::unique_ptr<Line>> retired_;  ///< replaced, with calls still under way
  std::atomic<bool> retires_{false};            ///< there is one of those
  bool connecting_ = false;
  std::optional<SteadyTime> patient_until_;  ///< nobody is waited for beyond; none while there is no outage
  bool closing_ = false;
  std::condition_variable closing_changed_;
  std::uint64_t attempts_ = 0;
  std::optional<Error> last_failure_;  ///< of the attempt that ended last

  ErrandThread errands_;
};

}  // namespace ringside
