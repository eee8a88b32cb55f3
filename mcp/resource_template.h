#pragma once
// Which URIs a resource template (RFC 6570) stands for, as far as routing needs it. Pure, any thread.

#include <string_view>

namespace ringside::mcp {

/// An expression stands for one byte or more without '/'; `{+x}` and `{#x}` for any; `{?x}` and `{&x}` for a query that
/// may be missing. A template that is malformed stands for itself alone; an URI beyond 8 KiB matches none.
[[nodiscard]] bool matches_template(std::string_view uri_template, std::string_view uri);

}  // namespace ringside::mcp
