#pragma once
// The log under systemd: one entry per event in the journal, by its native protocol
// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/), so that priorities and fields survive. The protocol is a datagram;
// that is less than a library for everybody who links base/.

#include <spdlog/sinks/base_sink.h>

#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/unique_fd.h"

namespace ringside::log {

inline constexpr std::string_view kJournalSocket = "/run/systemd/journal/socket";

/// True when `value`, that of JOURNAL_STREAM, names what descriptor `fd` is: then its text goes to the journal anyway.
[[nodiscard]] bool is_journal_stream(std::string_view value, int fd);

/// The entry for a line of ours: MESSAGE, PRIORITY, SYSLOG_IDENTIFIER, and RINGSIDE_KEY=VALUE for each key=value in it
/// (the first of a key counts).
[[nodiscard]] std::string journal_entry(std::string_view program, int priority, std::string_view message);

/// Sends to the journal; what it does not take goes to stderr, with the priority before it. Any thread.
class JournalSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  /// Null when there is no journal at `path`.
  static std::shared_ptr<JournalSink> open(std::string_view path = kJournalSocket);

 private:
  explicit JournalSink(UniqueFd socket) : socket_(std::move(socket)) {}
  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override {}

  const UniqueFd socket_;
};

}  // namespace ringside::log
