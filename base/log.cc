#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "base/journal.h"
#include "base/text.h"

namespace ringside::log {

namespace {

spdlog::level::level_enum level_of(std::string_view level) {
  const std::string lower = ascii_lower(level);
  const auto known = lower == "off" || spdlog::level::from_str(lower) != spdlog::level::off;
  return known ? spdlog::level::from_str(lower) : spdlog::level::info;
}

}  // namespace

void set_level(std::string_view level) { spdlog::set_level(level_of(level)); }

void init(std::string_view program, std::string_view level) {
  const char* const stream = std::getenv("JOURNAL_STREAM");  // NOLINT(concurrency-mt-unsafe): nobody sets it
  spdlog::sink_ptr sink;
  if (stream != nullptr && is_journal_stream(stream, STDERR_FILENO)) sink = JournalSink::open();
  if (sink == nullptr) sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  auto logger = std::make_shared<spdlog::logger>(std::string(program), std::move(sink));
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %n[%P]: %v");
  logger->set_level(level_of(level));
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
}

std::string printable(std::string_view text, std::size_t max_bytes) {
  std::string out;
  for (const char c : text.substr(0, max_bytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      out.push_back(c);
    } else {
      out += "\\x";
      append_hex(out, byte);
    }
  }
  if (text.size() > max_bytes) out += "…";
  return out;
}

}  // namespace ringside::log
