#pragma once
// The few bytes of a message that change on its way: an id, a progress token, a name. All else stays as it came. Pure.

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "mcp/envelope.h"

namespace ringside::worker {

/// Puts `text` in the place of `size` bytes. In a large body a shorter one is filled up with white space, which means
/// nothing between two tokens: moving a megabyte by a byte costs as much as copying it.
void replace_span(std::string& body, std::size_t at, std::size_t size, std::string_view text);

/// A span of a body, and what shall stand there.
struct Edit {
  std::size_t at = 0;
  std::size_t size = 0;  ///< 0: nothing is edited
  std::string_view text;
};
/// `span` is a view into `body`, or empty.
[[nodiscard]] Edit edit_of(const std::string& body, std::string_view span, std::string_view text);
/// Makes the edits where they lie.
void rewrite(std::string& body, std::array<Edit, 3> edits);

/// The raw params._meta.progressToken; empty without one. kInvalid when it stands there twice: an upstream might take
/// the other.
[[nodiscard]] Result<std::string_view> progress_token(const mcp::EnvelopeReader& reader);
/// `message`, if it is progress under our token, under the caller's again.
void restore_token(std::string& message, std::string_view ours, std::string_view callers);

}  // namespace ringside::worker
