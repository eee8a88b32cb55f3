#pragma once
// Randomness comes in by the constructor where it decides something; these read the kernel's generator. Any thread.

#include <cstdint>
#include <string>

namespace ringside {

/// 64 bits nobody can guess (getrandom).
std::uint64_t random_u64();
/// A fresh UUIDv4 in lower-case hex with dashes (RFC 9562, section 5.4).
std::string random_uuid4();

}  // namespace ringside
