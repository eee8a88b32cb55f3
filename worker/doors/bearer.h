#pragma once
// The token that clients of an edge must bring, from a file, which may change: a token is rotated by writing it there.
// Compared in constant time. Thread-safe.

#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ringside::worker {

class Bearer {
 public:
  /// The file's one line. kInvalid: it cannot be read, or is empty.
  static Result<std::unique_ptr<Bearer>> open(std::string path);

  /// `authorization`: the header, "Bearer TOKEN".
  [[nodiscard]] bool admits(std::string_view authorization) const;
  /// Reads the file again. One that cannot be used leaves the token as it was.
  void look_again();

 private:
  using Digest = std::array<unsigned char, 32>;
  explicit Bearer(std::string path) : path_(std::move(path)) {}
  [[nodiscard]] Result<Digest> read() const;

  const std::string path_;
  mutable std::mutex mutex_;
  Digest wanted_{};
};

}  // namespace ringside::worker
