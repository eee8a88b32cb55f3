#pragma once
// A memory cgroup of a test's own: processes in it have so many bytes together, and beyond that the kernel refuses them
// or kills one of them. Version 1 and 2 of the file system; processes keep what they had before they came in.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace ringside::test {

class MemoryGroup {
 public:
  /// Nothing where no group can be made: there is no memory controller, or it is not ours to write.
  static std::optional<MemoryGroup> make(std::uint64_t bytes);
  /// Removes it. No process may be left in it.
  ~MemoryGroup();
  MemoryGroup(MemoryGroup&& other) noexcept : folder_(std::exchange(other.folder_, {})), unified_(other.unified_) {}
  MemoryGroup& operator=(MemoryGroup&&) = delete;

  /// The file that a process writes its number to, to come in ("0": the writer itself).
  [[nodiscard]] std::string members() const { return folder_ + "/cgroup.procs"; }
  [[nodiscard]] bool take(pid_t pid) const;
  /// How often somebody in it wanted more than there was.
  [[nodiscard]] std::uint64_t failures() const;
  /// How many the kernel has killed for that.
  [[nodiscard]] std::uint64_t kills() const;

 private:
  MemoryGroup(std::string folder, bool unified) : folder_(std::move(folder)), unified_(unified) {}
  std::string folder_;
  bool unified_;
};

}  // namespace ringside::test
