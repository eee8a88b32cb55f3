#include "supervisor/worker_process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/unix_socket.h"

namespace ringside::supervisor {
namespace {

constexpr std::size_t kMessagesPerTurn = 64;
constexpr std::size_t kMessagesAtExit = 4096;  // more than a socket's buffer holds
constexpr std::size_t kOutboxPause = 64;

/// Ours, without what systemd tells the main process of a service: nobody else may speak for it.
std::vector<char*> worker_environment() {
  constexpr std::array<std::string_view, 6> kOurs = {
      "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", "NOTIFY_SOCKET=", "WATCHDOG_PID=", "WATCHDOG_USEC="};
  std::vector<char*> out;
  for (char** each = environ; *each != nullptr; ++each) {
    const bool ours = std::any_of(kOurs.begin(), kOurs.end(),
                                  [&](std::string_view name) { return std::string_view(*each).starts_with(name); });
    if (!ours) out.push_back(*each);
  }
  out.push_back(nullptr);
  return out;
}

/// posix_spawn's two option objects with an owner.
class SpawnSetup {
 public:
  explicit SpawnSetup(int link) {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawnattr_init(&attributes_);
    sigset_t none;
    sigset_t all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    const int failed = ::posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0) |
                       ::posix_spawn_file_actions_adddup2(&actions_, link, rpc::kWorkerLinkFd) |
                       ::posix_spawnattr_setsigmask(&attributes_, &none) |
                       ::posix_spawnattr_setsigdefault(&attributes_, &all) |
                       ::posix_spawnattr_setpgroup(&attributes_, 0) |
                       ::posix_spawnattr_setflags(
                           &attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    RS_CHECK(failed == 0, "what a worker starts with can be written down");
  }
  ~SpawnSetup() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;

  [[nodiscard]] Result<pid_t> spawn(std::vector<std::string>& argv) const {
    std::vector<char*> arguments;
    arguments.reserve(argv.size() + 1);
    for (auto& argument : argv) arguments.push_back(argument.data());
    arguments.push_back(nullptr);
    pid_t pid = -1;
    const int failed = ::posix_spawn(&pid, argv.front().c_str(), &actions_, &attributes_, arguments.data(),
                                     worker_environment().data());
    if (failed != 0) return Error{Code::kSystem, failed, "a worker cannot be started"};
    return pid;
  }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

void reap(pid_t pid) {
  ::kill(pid, SIGKILL);
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED) != 0 && errno == EINTR) {
  }
}

}  // namespace

Result<std::unique_ptr<WorkerProcess>> WorkerProcess::spawn(EventLoop& loop, std::vector<std::string> argv,
                                                            Hooks hooks) {
  RS_CHECK(!argv.empty(), "a worker has a program");
  auto [ours, theirs] = RS_TRY(socket_pair(SocketKind::kSeqPacket, /*blocking=*/false));
  const pid_t pid = RS_TRY(SpawnSetup(theirs.get()).spawn(argv));
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd) {
    const int failed = errno;
    reap(pid);
    return Error{Code::kSystem, failed, "a worker cannot be watched"};
  }
  std::unique_ptr<WorkerProcess> worker(new WorkerProcess(pid, std::move(pidfd), std::move(ours), std::move(hooks)));
  RS_TRY_STATUS(worker->watch(loop));
  return worker;
}

Result<std::unique_ptr<WorkerProcess>> WorkerProcess::inherit(EventLoop& loop, Inherited from, Hooks hooks) {
  std::unique_ptr<WorkerProcess> worker(
      new WorkerProcess(from.pid, std::move(from.pidfd), std::move(from.link), std::move(hooks)));
  worker->link_lost_ = worker->link_.fd() < 0;
  for (const auto& bytes : from.unsent) {
    link::v1::ToWorker message;
    if (message.ParseFromString(bytes)) worker->outbox_.push_back(std::move(message));
  }
  RS_TRY_STATUS(worker->watch(loop));
  return worker;
}

std::vector<std::string> WorkerProcess::unsent() const {
  std::vector<std::string> out;
  for (const auto& message : outbox_) out.push_back(message.SerializeAsString());
  return out;
}

WorkerProcess::WorkerProcess(pid_t pid, UniqueFd pidfd, UniqueFd link, Hooks hooks)
    : pid_(pid), hooks_(std::move(hooks)), pidfd_(std::move(pidfd)), link_(std::move(link)) {}

WorkerProcess::~WorkerProcess() {
  *alive_ = false;
  if (!reaped_) reap(pid_);
}

Status WorkerProcess::watch(EventLoop& loop) {
  exit_source_ = RS_TRY(loop.watch(pidfd_.get(), [this](std::uint32_t /*events*/) { on_exit(); }));
  exit_source_.want(EPOLLIN);
  if (link_lost_) return {};
  link_source_ = RS_TRY(loop.watch(link_.fd(), [this](std::uint32_t events) { on_link(events); }));
  choose_events();
  return {};
}

void WorkerProcess::send(link::v1::ToWorker message) {
  if (link_lost_) return;
  outbox_.push_back(std::move(message));
  flush();
}

Status WorkerProcess::send_now(const link::v1::ToWorker& message, std::span<const int> descriptors) {
  if (link_lost_) return Error{Code::kUnavailable, 0, "the link is lost"};
  if (!outbox_.empty()) return Error{Code::kFull, 0, "something waits for the link already"};
  return link_.send(message, descriptors);
}

void WorkerProcess::wake_when_writable(bool wanted) {
  if (wake_wanted_ == wanted) return;
  wake_wanted_ = wanted;
  choose_events();
}

void WorkerProcess::signal(int number) const {
  // By pidfd: it cannot hit another process that got the number.
  ::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0);
}

void WorkerProcess::on_link(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) flush();
  if (link_lost_ || (events & ~static_cast<std::uint32_t>(EPOLLOUT)) == 0) return;
  read_messages(kMessagesPerTurn);
}

void WorkerProcess::on_exit() {
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0) return;
  reaped_ = true;
  const auto alive = alive_;
  if (!link_lost_) read_messages(kMessagesAtExit);
  if (!*alive) return;
  exit_source_.reset();
  link_source_.reset();
  const auto exited = hooks_.exited;
  exited(Exit{info.si_code != CLD_EXITED, info.si_status, info.si_code == CLD_DUMPED});
}

bool WorkerProcess::read_messages(std::size_t most) {
  const auto alive = alive_;
  for (std::size_t i = 0; i < most; ++i) {
    link::v1::ToSupervisor message;
    auto received = link_.receive(message);
    if (!received.ok()) {
      if (received.error().code == Code::kFull) return true;
      lose_link(/*broken=*/received.error().code == Code::kPeerLied);
      return false;
    }
    const bool says_nothing = message.message_case() == link::v1::ToSupervisor::MESSAGE_NOT_SET;
    if (received->end_of_file || says_nothing) {
      lose_link(/*broken=*/!received->end_of_file);
      return false;
    }
    const auto said = hooks_.said;
    said(message, std::move(received->descriptors));
    if (!*alive || link_lost_) return false;
    if (outbox_.size() >= kOutboxPause && !reaped_) return true;
  }
  return true;
}

void WorkerProcess::lose_link(bool broken) {
  link_lost_ = true;
  outbox_.clear();
  link_source_.reset();
  if (reaped_) return;
  const auto lost = hooks_.link_lost;
  lost(broken);
}

void WorkerProcess::flush() {
  while (!outbox_.empty()) {
    const Status sent = link_.send(outbox_.front());
    if (!sent.ok() && sent.error().code == Code::kFull) break;
    // Lost: the read side or the pidfd says so in a moment, after what the worker had still said.
    outbox_.pop_front();
  }
  choose_events();
}

void WorkerProcess::choose_events() {
  std::uint32_t events = 0;
  if (outbox_.size() < kOutboxPause) events |= EPOLLIN;
  if (!outbox_.empty() || wake_wanted_) events |= EPOLLOUT;
  link_source_.want(events);
}

}  // namespace ringside::supervisor
