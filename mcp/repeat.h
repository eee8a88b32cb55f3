#pragma once
// Whether a request that may have run before may run again: what a worker asks of one that comes with the mark "retry",
// after the worker that had it first has died.

#include "mcp/envelope.h"

namespace ringside::mcp {

enum class Repeat {
  kSafe,         ///< it only reads, or does the same thing twice
  kAsksTheTool,  ///< tools/call: safe if the tool's annotations say readOnlyHint or idempotentHint
  kNever,        ///< notifications, answers, and whatever we do not know
};

/// Of a message that was read without a fault.
[[nodiscard]] Repeat repeat_of(const Envelope& envelope);

}  // namespace ringside::mcp
