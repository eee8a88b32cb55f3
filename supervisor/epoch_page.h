#pragma once
// The epoch: one counter on one page that the supervisor writes and every worker maps to read. It moves on when
// something that workers may have cached has changed; a worker that reads a new value drops what it has cached. The
// page is a memfd of 4096 bytes, sealed SHRINK|GROW|FUTURE_WRITE|SEAL: the kernel lets nobody but this mapping write.
//
//   offset 0: uint64, host order, written with release, read with acquire; the rest is zero

#include <atomic>
#include <cstdint>

#include "base/result.h"
#include "base/unique_fd.h"

namespace ringside::supervisor {

inline constexpr std::size_t kEpochPageBytes = 4096;

/// Owns the mapping and the descriptor. Move only; one thread advances.
class EpochPage {
 public:
  static Result<EpochPage> create();
  EpochPage(EpochPage&& other) noexcept;
  EpochPage& operator=(EpochPage&&) = delete;
  ~EpochPage();

  void advance();
  [[nodiscard]] std::uint64_t value() const;
  /// To be sent to workers; CLOEXEC.
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  EpochPage(UniqueFd fd, void* page);
  UniqueFd fd_;
  std::atomic<std::uint64_t>* counter_;
};

}  // namespace ringside::supervisor
