#include "client/cpp/ring_keeper.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

namespace ringside {
namespace {

// Between two attempts. A worker that is being started takes some tens of milliseconds.
constexpr auto kFirstPause = std::chrono::milliseconds(5);
constexpr auto kLongestPause = std::chrono::milliseconds(200);
constexpr auto kShortLife = std::chrono::milliseconds(20);
constexpr int kMostShortLives = 5;  // 160 ms

/// True when `fd` can be read (or is closed) within `timeout_ms`; negative: without end.
bool readable(int fd, int timeout_ms) {
  pollfd watched{fd, POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&watched, 1, timeout_ms);
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

}  // namespace

Result<std::unique_ptr<RingKeeper>> RingKeeper::start(int socket, Duration patience, Hooks hooks) {
  UniqueFd stop(::eventfd(0, EFD_CLOEXEC));
  if (!stop) return Error{Code::kSystem, errno, "an eventfd cannot be made"};
  std::unique_ptr<RingKeeper> keeper(new RingKeeper(std::move(stop), patience, std::move(hooks)));
  keeper->thread_ = std::thread([keeper = keeper.get(), socket] { keeper->run(socket); });
  return keeper;
}

RingKeeper::RingKeeper(UniqueFd stop, Duration patience, Hooks hooks)
    : stop_(std::move(stop)), patience_(patience), hooks_(std::move(hooks)) {}

RingKeeper::~RingKeeper() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(stop_.get(), &one, sizeof one);
  if (thread_.joinable()) thread_.join();
}

void RingKeeper::run(int socket) {
  int short_lives = 0;  // in a row
  SteadyTime attached_at = std::chrono::steady_clock::now();
  // Any message is as much an end as a close: after its reply a worker has nothing to say.
  while (const int end = wait_for(socket, POLLIN | POLLRDHUP)) {
    const bool by_half = (end & POLLRDHUP) != 0 && (end & (POLLHUP | POLLERR)) == 0;
    if (by_half && hooks_.leaves && hooks_.leaves()) {
      if (wait_for(socket, 0) != 0) hooks_.over();
      return;
    }
    hooks_.lost();
    // One attachment that ends at once is bad luck; what ends so again and again is attached ever more slowly.
    const bool short_lived = std::chrono::steady_clock::now() - attached_at < kShortLife;
    short_lives = short_lived ? std::min(short_lives + 1, kMostShortLives) : 0;
    const auto pause = short_lives > 1 ? kFirstPause * (1 << short_lives) : kFirstPause * 0;
    if (short_lives > 1 && readable(stop_.get(), static_cast<int>(pause.count()))) return;
    const auto attached = attach_again();
    attached_at = std::chrono::steady_clock::now();
    if (!attached.ok()) {
      if (!readable(stop_.get(), 0)) hooks_.over();
      return;
    }
    socket = *attached;
  }
}

/// Which of `events` came, an end both ways among them always. 0: asked to stop.
int RingKeeper::wait_for(int socket, int events) const {
  std::array<pollfd, 2> watched = {pollfd{socket, static_cast<short>(events), 0}, pollfd{stop_.get(), POLLIN, 0}};
  while (::poll(watched.data(), watched.size(), -1) < 0) {
  }
  return watched[1].revents == 0 ? watched[0].revents : 0;
}

Result<int> RingKeeper::attach_again() const {
  constexpr Error kNobody{Code::kUnavailable, 0, "no worker takes the ring again"};
  if (!hooks_.attach) return kNobody;
  const SteadyTime deadline = std::chrono::steady_clock::now() + patience_;
  auto pause = kFirstPause;
  while (true) {
    auto attached = hooks_.attach(stop_.get());
    if (attached.ok() || attached.error().code != Code::kUnavailable) return attached;
    if (std::chrono::steady_clock::now() >= deadline) return kNobody;
    if (readable(stop_.get(), static_cast<int>(pause.count()))) return kNobody;
    pause = std::min<decltype(pause)>(pause * 2, kLongestPause);
  }
}

}  // namespace ringside
