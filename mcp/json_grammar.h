#pragma once
// The verdict on a JSON text by grammar alone: no tape, no memory but a bit per level, and no opinion on how large a
// number may be. It decides wherever the faster parser of envelope.cc says no, so the language accepted is exactly this
// one.

#include <cstddef>
#include <string_view>

namespace ringside::mcp {

/// True when `text` is one JSON text (RFC 8259) in valid UTF-8 and no value lies in more than kMaxDepth containers.
/// Escaped halves of surrogate pairs are accepted, as the RFC's grammar has them. One pass, any thread.
[[nodiscard]] bool is_json_text(std::string_view text);

}  // namespace ringside::mcp
