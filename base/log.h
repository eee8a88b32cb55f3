#pragma once
// Logging: spdlog, one line per event on stderr, or one entry in the journal (journal.h) where systemd has made stderr
// the journal's. Messages are a short sentence followed by key=value pairs:
//   log::info("worker ready pid={} restarts={}", pid, restarts);
// Never log a body, a header value, a token or an environment value. Any thread may log.

#include <spdlog/spdlog.h>

#include <string_view>

namespace ringside::log {

using spdlog::debug;
using spdlog::error;
using spdlog::info;
using spdlog::warn;

/// Sends the log to the journal, or to stderr as `LEVEL program[pid]: message`; call once, first thing in main.
/// `level` is one of debug, info, warn, error, off (any case); anything else counts as info.
void init(std::string_view program, std::string_view level);

/// Another level from now on. Any thread.
void set_level(std::string_view level);

/// `text` for a log line: control bytes as \xNN, cut to `max_bytes`. For what a stranger wrote.
std::string printable(std::string_view text, std::size_t max_bytes = 200);

}  // namespace ringside::log
