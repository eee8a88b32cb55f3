#include <hiredis/hiredis.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <array>
#include <chrono>
#include <utility>

#include "base/random.h"
#include "base/unique_fd.h"
#include "worker/store/redis_parts.h"
#include "worker/store/redis_store.h"

namespace ringside::worker {
namespace {

constexpr std::chrono::milliseconds kConnectWithin{2000};
constexpr std::chrono::milliseconds kPause{500};

/// Until one of the two is readable, or the time has passed (-1: never). The socket is.
bool wait_for(int socket, int stop, int timeout_ms) {
  std::array<pollfd, 2> both{{{stop, POLLIN, 0}, {socket, POLLIN, 0}}};
  ::poll(both.data(), socket < 0 ? 1 : 2, timeout_ms);
  return both[0].revents == 0 && both[1].revents != 0;
}

}  // namespace

RedisListener::RedisListener(RedisPlace place, std::string node, std::function<void()> changed)
    : place_(std::move(place)), node_(std::move(node)), changed_(std::move(changed)) {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

RedisListener::~RedisListener() = default;

void RedisListener::run(const std::stop_token& stop) {
  const UniqueFd wake(::eventfd(0, EFD_CLOEXEC));
  const std::stop_callback waking(stop, [&wake] { ::eventfd_write(wake.get(), 1); });
  bool missed = false;
  while (!stop.stop_requested()) {
    const RedisContextRef context = connect_redis(place_, kConnectWithin);
    const std::array<const char*, 2> words{"SUBSCRIBE", kRedisEpoch.data()};
    const bool asked = context && redisAppendCommandArgv(context.get(), 2, const_cast<const char**>(words.data()),
                                                         nullptr) == REDIS_OK;
    int written = 0;
    while (asked && written == 0 && redisBufferWrite(context.get(), &written) == REDIS_OK) {
    }
    if (asked && context->err == 0) {
      if (std::exchange(missed, false)) changed_();
      hear(wake.get(), *context);
    }
    missed = true;
    wait_for(-1, wake.get(), static_cast<int>(kPause.count()));
  }
}

void RedisListener::hear(int stop, redisContext& context) {
  while (wait_for(context.fd, stop, -1)) {
    if (redisBufferRead(&context) != REDIS_OK) return;
    void* next = nullptr;
    while (redisGetReplyFromReader(&context, &next) == REDIS_OK && next != nullptr) {
      const RedisReplyRef reply(static_cast<redisReply*>(next));
      const auto items = items_of(*reply);
      if (items.size() == 3 && text_of(*items[0]) == "message" && text_of(*items[2]) != node_) changed_();
    }
    if (context.err != 0) return;
  }
}

Result<Stores> open_redis_stores(const std::string& url, EventLimits limits, std::function<void()> changed) {
  const auto place = redis_place(url);
  if (!place) return Error{Code::kInvalid, 0, "the place of a Redis is unix:PATH or HOST:PORT"};
  const std::string node = random_uuid4();
  auto listener = std::make_unique<RedisListener>(*place, node, std::move(changed));
  return Stores{make_redis_sessions(*place, node, std::move(listener)), make_redis_events(*place, limits)};
}

}  // namespace ringside::worker
