#include "worker/worker.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <thread>
#include <utility>

#include "base/log.h"
#include "worker/link_port.h"
#include "worker/service.h"

namespace ringside::worker {
namespace {

constexpr auto kReportEvery = std::chrono::seconds(1);
constexpr auto kDrainWhenTerminated = std::chrono::seconds(5);

class Loop {
 public:
  Loop(LinkPort& port, Service& service) : port_(port), service_(service) {
    sigset_t terminate;
    sigemptyset(&terminate);
    sigaddset(&terminate, SIGTERM);
    signals_.reset(::signalfd(-1, &terminate, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  ~Loop() {
    if (drainer_.joinable()) drainer_.join();
  }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// Until drained, or until the supervisor is gone.
  void run() {
    auto next_report = std::chrono::steady_clock::now();
    while (!drained_) {
      const auto now = std::chrono::steady_clock::now();
      if (now >= next_report) {
        service_.report();
        next_report = now + kReportEvery;
      }
      if (!port_.flush().ok()) return;
      const short link_events = static_cast<short>(POLLIN | (port_.wants_to_write() ? POLLOUT : 0));
      pollfd watched[] = {{port_.link_fd(), link_events, 0}, {port_.wake_fd(), POLLIN, 0}, {signals_.get(), POLLIN, 0}};
      const auto patience = std::chrono::ceil<std::chrono::milliseconds>(next_report - now);
      if (::poll(watched, std::size(watched), static_cast<int>(patience.count())) < 0) continue;
      if (watched[2].revents != 0) {
        signalfd_siginfo ignored{};
        (void)!::read(signals_.get(), &ignored, sizeof ignored);
        drain(kDrainWhenTerminated);
      }
      if (watched[0].revents != 0 && !take_messages()) return;
    }
    // What was counted since the last report.
    service_.report();
    (void)port_.flush();
  }

 private:
  /// False when the supervisor is gone.
  bool take_messages() {
    while (true) {
      link::v1::ToWorker message;
      auto received = port_.receive(message);
      if (!received.ok()) {
        if (received.error().code == Code::kFull) return true;
        log::error("the link to the supervisor broke: {}", received.error().message);
        return false;
      }
      if (received->end_of_file) return false;
      if (received->descriptors_lost) {
        // A connection is closed with its descriptor, and its client makes another. Nothing else may get lost.
        if (!std::exchange(starved_, true)) log::error("no file descriptor is left for connections; raise LimitNOFILE");
        if (!message.has_connection()) return false;
      } else if (message.has_connection() && received->descriptors.size() == 1) {
        starved_ = false;
        if (!drainer_.joinable()) service_.doors().adopt(message.connection(), std::move(received->descriptors[0]));
      } else if (message.has_new_epoch_page() && received->descriptors.size() == 1) {
        service_.follow_epoch_page(received->descriptors[0].get());
      } else if (message.has_drain()) {
        drain(std::chrono::milliseconds(message.drain().within_ms()));
      }
    }
  }

  /// On a thread of its own: a call under way may need this loop for its answer (a session that ends asks for an
  /// epoch).
  void drain(Duration within) {
    if (drainer_.joinable()) return;
    drainer_ = std::thread([this, within] {
      service_.drain(within);
      drained_ = true;
      port_.wake();
    });
  }

  LinkPort& port_;
  Service& service_;
  UniqueFd signals_;
  std::thread drainer_;
  bool starved_ = false;  ///< of descriptors, and the log has it
  std::atomic<bool> drained_{false};
};

void post_failure(LinkPort& port, const Error& error) {
  log::error("this worker cannot serve: {} errno={}", error.message, error.os_error);
  link::v1::ToSupervisor message;
  message.mutable_failed()->set_reason(std::string(error.message));
  port.post(std::move(message));
  (void)port.flush();
}

}  // namespace

int run_worker(rpc::Link link) {
  auto created = LinkPort::create(std::move(link));
  if (!created.ok()) return 1;
  LinkPort& port = **created;
  pollfd first{port.link_fd(), POLLIN, 0};
  link::v1::ToWorker message;
  auto configure = [&]() -> Result<rpc::Link::Received> {
    ::poll(&first, 1, -1);
    return port.receive(message);
  }();
  if (!configure.ok() || configure->end_of_file || !message.has_configure()) {
    log::error("no configuration came over the link; ringside-worker is started by ringsided, not by hand");
    return 1;
  }
  const auto service = Service::open(*configure, port);
  if (!service.ok()) {
    post_failure(port, service.error());
    return 1;
  }
  link::v1::ToSupervisor ready;
  ready.mutable_ready();
  port.post(std::move(ready), (*service)->calls_fd());
  Loop(port, **service).run();
  return 0;
}

}  // namespace ringside::worker
