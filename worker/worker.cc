#include "worker/worker.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <thread>
#include <utility>

#include "base/log.h"
#include "http/client.h"
#include "worker/door_set.h"
#include "worker/link_port.h"
#include "worker/runtime/runtime.h"
#include "worker/upstream/upstreams.h"

namespace ringside::worker {
namespace {

constexpr auto kReportEvery = std::chrono::seconds(1);
constexpr auto kDrainWhenTerminated = std::chrono::seconds(5);

/// The page on which the supervisor counts epochs, mapped to read.
class EpochPage {
 public:
  EpochPage() = default;
  ~EpochPage() {
    if (page_ != MAP_FAILED) ::munmap(page_, kBytes);
  }
  EpochPage(const EpochPage&) = delete;
  EpochPage& operator=(const EpochPage&) = delete;

  Status map(int fd) {
    page_ = ::mmap(nullptr, kBytes, PROT_READ, MAP_SHARED, fd, 0);
    if (page_ == MAP_FAILED) return Error{Code::kSystem, errno, "the epoch page cannot be mapped"};
    return {};
  }
  [[nodiscard]] const std::atomic<std::uint64_t>& counter() const {
    return *static_cast<const std::atomic<std::uint64_t>*>(page_);
  }

 private:
  static constexpr std::size_t kBytes = 4096;
  void* page_ = MAP_FAILED;
};

std::string guard_program() { return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "ringside-guard"; }

std::vector<std::unique_ptr<Upstream>> make_upstreams(const link::v1::WorkerConfig& config, http::Client& client) {
  std::vector<std::unique_ptr<Upstream>> upstreams;
  for (const auto& entry : config.upstreams()) {
    if (entry.has_http()) {
      HttpUpstreamOptions options;
      options.name = entry.name();
      options.url = entry.http().url();
      options.headers = {entry.http().headers().begin(), entry.http().headers().end()};
      options.max_body_bytes = config.limits().body_bytes();
      options.client_version = config.version();
      upstreams.push_back(make_http_upstream(std::move(options), client));
    } else if (entry.has_stdio()) {
      StdioUpstreamOptions options;
      options.name = entry.name();
      options.command = entry.stdio().command();
      options.args = {entry.stdio().args().begin(), entry.stdio().args().end()};
      options.env = {entry.stdio().env().begin(), entry.stdio().env().end()};
      options.cwd = entry.stdio().cwd();
      options.max_body_bytes = config.limits().body_bytes();
      options.client_version = config.version();
      options.guard_program = guard_program();
      upstreams.push_back(make_stdio_upstream(std::move(options)));
    } else {
      upstreams.push_back(make_builtin_upstream(entry.name()));
    }
  }
  return upstreams;
}

RuntimeOptions runtime_options(const link::v1::WorkerConfig& config) {
  RuntimeOptions options;
  options.max_body_bytes = config.limits().body_bytes();
  options.call_timeout = std::chrono::milliseconds(config.limits().call_timeout_ms());
  options.session_ttl_ms = static_cast<std::int64_t>(config.limits().session_ttl_ms());
  options.catalog_ttl = std::chrono::milliseconds(config.limits().catalog_ttl_ms());
  options.transport_echo = config.transport_echo();
  options.version = config.version();
  options.mode = config.mode();
  return options;
}

/// Everything that serves, in the order it is built; it goes away in reverse.
struct Service {
  link::v1::WorkerConfig config;
  EpochPage epoch;
  std::unique_ptr<http::Client> http_client;
  std::unique_ptr<Runtime> runtime;
  std::unique_ptr<DoorSet> doors;

  Status open(const rpc::Link::Received& configure, LinkPort& port) {
    if (configure.descriptors.size() != 2) return Error{Code::kPeerLied, 0, "Configure comes with two descriptors"};
    RS_TRY_STATUS(rpc::from_memfd(configure.descriptors[0].get(), config));
    RS_TRY_STATUS(epoch.map(configure.descriptors[1].get()));
    log::init("ringside-worker", config.log_level());
    http::ClientOptions client_options;
    client_options.max_connections_per_host = config.limits().upstream_connections();
    http_client = std::make_unique<http::Client>(client_options);
    auto store = RS_TRY(open_sqlite_store(config.runtime_dir() + "/sessions.db"));
    runtime = std::make_unique<Runtime>(runtime_options(config), system_clock(), std::move(store),
                                        make_upstreams(config, *http_client), epoch.counter(),
                                        [&port](std::function<void()> done) { port.advance_epoch(std::move(done)); });
    doors = RS_TRY(DoorSet::open(config, *runtime));
    return {};
  }

  void report(LinkPort& port) const {
    link::v1::ToSupervisor message;
    auto& report = *message.mutable_report();
    const RuntimeStats stats = runtime->stats();
    report.set_calls(stats.calls);
    report.set_calls_under_way(stats.under_way);
    static constexpr const char* kNames[kDoorCount] = {"ring", "handle", "grpc", "http"};
    for (std::size_t i = 0; i < kDoorCount; ++i) (*report.mutable_calls_by_door())[kNames[i]] = stats.by_door.at(i);
    for (const UpstreamStatus& each : runtime->upstreams()) {
      auto& upstream = *report.add_upstreams();
      upstream.set_name(each.name);
      upstream.set_kind(each.kind);
      upstream.set_state(each.state);
      upstream.set_calls(each.calls);
      upstream.set_failures(each.failures);
    }
    doors->report(report);
    port.post(std::move(message));
  }
};

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
        service_.report(port_);
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
      if (message.has_connection() && received->descriptors.size() == 1) {
        if (!drainer_.joinable()) service_.doors->adopt(message.connection(), std::move(received->descriptors[0]));
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
      service_.doors->drain(within);
      drained_ = true;
      port_.wake();
    });
  }

  LinkPort& port_;
  Service& service_;
  UniqueFd signals_;
  std::thread drainer_;
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
  Service service;
  if (const Status opened = service.open(*configure, port); !opened.ok()) {
    post_failure(port, opened.error());
    return 1;
  }
  link::v1::ToSupervisor ready;
  ready.mutable_ready();
  port.post(std::move(ready));
  Loop(port, service).run();
  return 0;
}

}  // namespace ringside::worker
