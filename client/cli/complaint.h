#pragma once
// What a person reads when a command got no answer: what is wrong, where, and what to do next.

#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace ringside::cli {

/// `place` is a socket or a runtime folder; `runtime_dir` is where ringsided would be started.
[[nodiscard]] std::string complaint(const Error& error, const std::string& place, const std::string& runtime_dir);

/// Seconds as a command line has them, kept within what a clock can add.
[[nodiscard]] Duration seconds(double count);

}  // namespace ringside::cli
