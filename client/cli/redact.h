#pragma once
// A configuration that may be shown to strangers: what it is built like, without what it keeps. Pure.

#include <optional>
#include <string>
#include <string_view>

namespace ringside::cli {

/// `text` (JSON with comments) without comments, and with "[redacted]" in place of every string whose key is not known
/// to be harmless. A URL keeps its scheme, host and path. Nothing when it is no JSON: then nobody knows what is what.
[[nodiscard]] std::optional<std::string> redacted_configuration(std::string_view text);

}  // namespace ringside::cli
