#pragma once
// What of a process a core dump holds, by /proc/self/coredump_filter (core(5)). Those that it starts inherit it.

#include "base/result.h"

namespace ringside {

enum class CoreDump {
  kSmall,  ///< registers of each thread, and which file is mapped where; nothing of the memory, so no body either
  kFull,   ///< the kernel's default: all memory but what was taken out by MADV_DONTDUMP
};

/// kSystem: the kernel does not say, or lets nobody choose.
Status choose_core_dump(CoreDump what);

}  // namespace ringside
