#include "supervisor/inheritance.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "base/unique_fd.h"
#include "rpc/link.h"

namespace ringside::supervisor {
namespace {

std::vector<int> descriptors_of(const upgrade::v1::Inheritance& left) {
  std::vector<int> out{left.lock_fd(), left.epoch_fd()};
  for (const auto& socket : left.sockets()) out.push_back(socket.fd());
  for (const auto& worker : left.workers()) {
    out.push_back(worker.pidfd());
    if (worker.link_fd() >= 0) out.push_back(worker.link_fd());
    if (worker.calls_fd() >= 0) out.push_back(worker.calls_fd());
  }
  for (const auto& connection : left.waiting()) out.push_back(connection.fd());
  return out;
}

void keep_over_exec(const std::vector<int>& descriptors, bool keep) {
  for (const int fd : descriptors) ::fcntl(fd, F_SETFD, keep ? 0 : FD_CLOEXEC);
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (auto& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

}  // namespace

Result<std::optional<upgrade::v1::Inheritance>> take_inheritance() {
  const char* value = std::getenv(kInheritVariable);  // NOLINT(concurrency-mt-unsafe): before there are threads
  if (value == nullptr) return std::optional<upgrade::v1::Inheritance>();
  const UniqueFd memfd(std::atoi(value));  // NOLINT(cert-err34-c): a number that we wrote; anything else is no memfd
  ::unsetenv(kInheritVariable);            // NOLINT(concurrency-mt-unsafe)
  upgrade::v1::Inheritance left;
  if (!rpc::from_memfd(memfd.get(), left).ok()) {
    return Error{Code::kInvalid, 0, "what the program before left cannot be read"};
  }
  keep_over_exec(descriptors_of(left), false);
  return std::optional(std::move(left));
}

Error replace_program(const std::vector<std::string>& argv, const upgrade::v1::Inheritance& left) {
  const UniqueFd memfd = RS_TRY(rpc::to_memfd(left));
  auto descriptors = descriptors_of(left);
  descriptors.push_back(memfd.get());
  std::vector<std::string> arguments = argv;
  std::vector<std::string> environment;
  for (char** each = environ; *each != nullptr; ++each) environment.emplace_back(*each);
  environment.push_back(std::string(kInheritVariable) + "=" + std::to_string(memfd.get()));
  keep_over_exec(descriptors, true);
  ::execve(argv.front().c_str(), pointers_to(arguments).data(), pointers_to(environment).data());
  const int failed = errno;
  keep_over_exec(descriptors, false);
  return Error{Code::kSystem, failed, "the program cannot be executed"};
}

std::string own_program() {
  constexpr std::string_view kDeleted = " (deleted)";
  std::error_code ignored;
  std::string path = std::filesystem::read_symlink("/proc/self/exe", ignored).string();
  if (path.ends_with(kDeleted)) path.resize(path.size() - kDeleted.size());
  return path;
}

}  // namespace ringside::supervisor
