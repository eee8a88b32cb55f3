#include "worker/store/redis_connection.h"

#include <hiredis/hiredis.h>
#include <poll.h>
#include <sys/time.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/log.h"

namespace ringside::worker {
namespace {

constexpr std::chrono::milliseconds kTimeout{2000};
constexpr std::chrono::milliseconds kFirstPause{50};
constexpr std::chrono::milliseconds kLongestPause{1000};

timeval to_timeval(std::chrono::milliseconds ms) {
  timeval time{};
  time.tv_sec = ms.count() / 1000;
  time.tv_usec = (ms.count() % 1000) * 1000;
  return time;
}

/// Nothing is under way, so a socket that has something to read has its end to tell.
bool has_ended(int fd) {
  pollfd socket{fd, POLLIN, 0};
  return ::poll(&socket, 1, 0) != 0;
}

}  // namespace

std::optional<RedisPlace> redis_place(std::string_view url) {
  constexpr std::string_view kUnix = "unix:";
  if (url.starts_with(kUnix)) {
    url.remove_prefix(kUnix.size());
    if (url.empty()) return std::nullopt;
    return RedisPlace{std::string(url), {}, 0};
  }
  const std::size_t colon = url.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  RedisPlace place{{}, std::string(url.substr(0, colon)), 0};
  const std::string_view port = url.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), place.port);
  if (error != std::errc() || end != port.data() + port.size()) return std::nullopt;
  if (place.host.size() > 2 && place.host.front() == '[' && place.host.back() == ']') {
    place.host = place.host.substr(1, place.host.size() - 2);
  }
  return place;
}

void RedisContextEnd::operator()(redisContext* context) const { redisFree(context); }
void RedisReplyEnd::operator()(redisReply* reply) const { freeReplyObject(reply); }

RedisContextRef connect_redis(const RedisPlace& place, std::chrono::milliseconds timeout) {
  const timeval limit = to_timeval(timeout);
  RedisContextRef context(place.path.empty() ? redisConnectWithTimeout(place.host.c_str(), place.port, limit)
                                             : redisConnectUnixWithTimeout(place.path.c_str(), limit));
  if (!context || context->err != 0 || redisSetTimeout(context.get(), limit) != REDIS_OK) return nullptr;
  return context;
}

bool RedisConnection::ready() {
  if (context_ && has_ended(context_->fd)) context_.reset();
  if (context_) return true;
  if (std::chrono::steady_clock::now() < again_) return false;
  context_ = connect_redis(place_, kTimeout);
  return context_ != nullptr;
}

Error RedisConnection::failed(std::string_view why) {
  context_.reset();
  pause_ = std::clamp(2 * pause_, kFirstPause, kLongestPause);
  again_ = std::chrono::steady_clock::now() + pause_;
  if (!std::exchange(told_, true)) log::warn("{} failed reason=\"{}\"", what_, log::printable(why));
  return Error{Code::kUnavailable, 0, "the session store is not available"};
}

Result<RedisReplyRef> RedisConnection::run(const std::vector<std::string_view>& arguments) {
  std::vector<const char*> texts;
  std::vector<std::size_t> sizes;
  texts.reserve(arguments.size());
  sizes.reserve(arguments.size());
  for (const std::string_view argument : arguments) {
    texts.push_back(argument.data());
    sizes.push_back(argument.size());
  }
  const std::lock_guard lock(mutex_);
  if (!ready()) {
    if (std::chrono::steady_clock::now() < again_)
      return Error{Code::kUnavailable, 0, "the session store is not available"};
    return failed("not reached");
  }
  RedisReplyRef reply(static_cast<redisReply*>(
      redisCommandArgv(context_.get(), static_cast<int>(texts.size()), texts.data(), sizes.data())));
  if (!reply) return failed(context_->errstr);
  if (reply->type == REDIS_REPLY_ERROR) {
    // The connection is fine: it is full, or still reading its file, or somebody else's.
    const Error error = failed(std::string_view(reply->str, static_cast<std::size_t>(reply->len)));
    return error;
  }
  pause_ = std::chrono::milliseconds(0);
  if (std::exchange(told_, false)) log::info("{} works again", what_);
  return reply;
}

std::int64_t integer_of(const redisReply& reply) { return reply.type == REDIS_REPLY_INTEGER ? reply.integer : 0; }

std::string text_of(const redisReply& reply) {
  const bool has_text = reply.type == REDIS_REPLY_STRING || reply.type == REDIS_REPLY_STATUS;
  return has_text ? std::string(reply.str, static_cast<std::size_t>(reply.len)) : std::string();
}

bool is_nil(const redisReply& reply) { return reply.type == REDIS_REPLY_NIL; }

std::vector<const redisReply*> items_of(const redisReply& reply) {
  if (reply.type != REDIS_REPLY_ARRAY) return {};
  return {reply.element, reply.element + reply.elements};
}

}  // namespace ringside::worker
