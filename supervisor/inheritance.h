#pragma once
// What a supervisor leaves to the program that takes its place in the same process (`ringside upgrade`): a message in a
// memfd, whose number stands in the environment, and the descriptors that it names. Main thread, before or after all
// others.

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "ringside/upgrade/v1/upgrade.pb.h"

namespace ringside::supervisor {

inline constexpr const char* kInheritVariable = "RINGSIDE_INHERIT";

/// Takes what the program before us left, and the variable out of the environment; every descriptor is CLOEXEC again.
/// Nothing: an ordinary start. kInvalid: it cannot be read.
Result<std::optional<upgrade::v1::Inheritance>> take_inheritance();

/// Executes argv[0] in this process with what `left` names. Returns only if that fails; then nothing has changed.
Error replace_program(const std::vector<std::string>& argv, const upgrade::v1::Inheritance& left);

/// The path of our program, also when it has been replaced by another since. Good for main's first lines.
[[nodiscard]] std::string own_program();

}  // namespace ringside::supervisor
