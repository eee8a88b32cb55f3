#include "base/journal.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <set>

namespace ringside::log {
namespace {

int priority_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
    case spdlog::level::debug:
      return LOG_DEBUG;
    case spdlog::level::warn:
      return LOG_WARNING;
    case spdlog::level::err:
      return LOG_ERR;
    case spdlog::level::critical:
      return LOG_CRIT;
    default:
      return LOG_INFO;
  }
}

bool is_key(std::string_view text) {
  return !text.empty() && text.size() <= 40 && text.front() != '_' &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
}

void add_field(std::string& entry, std::string_view name, std::string_view value) {
  entry += name;
  // A value of one line stands behind '='; any other has its length before it.
  if (value.find('\n') == std::string_view::npos) {
    entry += '=';
  } else {
    entry += '\n';
    for (unsigned shift = 0; shift < 64; shift += 8) entry += static_cast<char>(std::uint64_t{value.size()} >> shift);
  }
  entry += value;
  entry += '\n';
}

}  // namespace

bool is_journal_stream(std::string_view value, int fd) {
  struct stat info {};
  if (value.empty() || ::fstat(fd, &info) != 0) return false;
  return value == std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino);
}

std::string journal_entry(std::string_view program, int priority, std::string_view message) {
  std::string entry;
  add_field(entry, "MESSAGE", message);
  add_field(entry, "PRIORITY", std::to_string(priority));
  add_field(entry, "SYSLOG_IDENTIFIER", program);
  std::set<std::string, std::less<>> seen;
  for (std::size_t at = 0; at < message.size();) {
    const std::size_t end = std::min(message.find(' ', at), message.size());
    const std::size_t equals = message.substr(at, end - at).find('=');
    const std::string_view key = equals == std::string_view::npos ? std::string_view() : message.substr(at, equals);
    if (!is_key(key)) {
      at = end + 1;
      continue;
    }
    std::string_view value = message.substr(at + equals + 1);
    std::size_t length = std::min(value.find(' '), value.size());
    if (value.starts_with('"')) {
      value.remove_prefix(1);
      length = std::min(value.find('"'), value.size());
    }
    value = value.substr(0, length);
    if (seen.emplace(key).second) {
      std::string name = "RINGSIDE_" + std::string(key);
      std::transform(name.begin(), name.end(), name.begin(),
                     [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
      add_field(entry, name, value);
    }
    at = static_cast<std::size_t>(value.data() + value.size() - message.data()) + 1;
  }
  return entry;
}

std::shared_ptr<JournalSink> JournalSink::open(std::string_view path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return nullptr;
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket || ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return nullptr;
  }
  return std::shared_ptr<JournalSink>(new JournalSink(std::move(socket)));
}

void JournalSink::sink_it_(const spdlog::details::log_msg& message) {
  const std::string_view text(message.payload.data(), message.payload.size());
  const std::string_view program(message.logger_name.data(), message.logger_name.size());
  const int priority = priority_of(message.level);
  const std::string entry = journal_entry(program, priority, text);
  // Not waited for: a journal that is busy shall not hold up calls.
  const ssize_t sent = ::send(socket_.get(), entry.data(), entry.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent >= 0) return;
  std::fprintf(stderr, "<%d>%.*s: %.*s\n", priority, static_cast<int>(program.size()), program.data(),
               static_cast<int>(text.size()), text.data());
}

}  // namespace ringside::log
