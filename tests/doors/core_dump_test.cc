// What a worker leaves behind when it crashes: no body, unless the configuration asks for the whole memory.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>
#include <future>
#include <string>

#include "tests/support/house.h"

namespace ringside::test {
namespace {

constexpr const char* kSecret = "a-secret-of-a-caller-that-nobody-else-has";

/// Where cores go: this test's folder, as long as it lives.
class CoresHere {
 public:
  CoresHere() : before_(std::filesystem::current_path()) {
    std::filesystem::current_path(folder_.path());
    rlimit limit{};
    EXPECT_EQ(::getrlimit(RLIMIT_CORE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    EXPECT_EQ(::setrlimit(RLIMIT_CORE, &limit), 0);
  }
  ~CoresHere() { std::filesystem::current_path(before_); }
  CoresHere(const CoresHere&) = delete;
  CoresHere& operator=(const CoresHere&) = delete;

  /// All of them in one text.
  [[nodiscard]] std::string all() const {
    std::string text;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) text += read_file(entry.path());
    return text;
  }

 private:
  TempDir folder_;
  std::filesystem::path before_;
};

/// The kernel writes cores as files into the folder of who dies, and no sanitizer keeps it from that.
bool cores_are_files() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return false;
#else
  const std::string pattern = read_file("/proc/sys/kernel/core_pattern");
  return !pattern.empty() && pattern.front() != '|' && pattern.front() != '/';
#endif
}

struct Left {
  std::string filter;  ///< what the kernel was told to put into a core
  bool core = false;
  bool secret = false;  ///< it stands in there
};

/// Kills a worker with a call under way in whose body the secret stands.
Left left_by_a_crash(const std::string& config) {
  const CoresHere cores;
  const House house({.config = config, .workers = 1});
  const auto client = house.client(DoorChoice::kHttp);
  std::promise<void> answered;
  client->call_async(
      post(R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"sleep","arguments":{"ms":3000,"s":")" +
           std::string(kSecret) + R"("}}})"),
      {}, [&](const Answer& /*answer*/) { answered.set_value(); });
  EXPECT_TRUE(eventually([&] { return house.status().workers(0).report().calls_under_way() == 1; }));
  const pid_t worker = house.worker_pids().front();
  Left left;
  left.filter = read_file("/proc/" + std::to_string(worker) + "/coredump_filter");
  ::kill(worker, SIGABRT);
  EXPECT_TRUE(eventually([&] { return house.status().workers(0).last_crash().pid() == worker; }));
  left.core = house.status().workers(0).last_crash().core();
  left.secret = cores.all().find(kSecret) != std::string::npos;
  answered.get_future().wait();
  return left;
}

TEST(CoreDumps, have_no_body_unless_the_configuration_asks_for_all_memory) {
  const Left small = left_by_a_crash(R"({"mcpServers": {"builtin": {"builtin": true}}})");
  EXPECT_EQ(small.filter, "00000010\n");
  EXPECT_FALSE(small.secret);
  const Left full = left_by_a_crash(R"({"mcpServers": {"builtin": {"builtin": true}}, "coreDumps": "full"})");
  EXPECT_EQ(full.filter, "00000033\n");
  if (!cores_are_files()) return;
  EXPECT_TRUE(small.core);
  EXPECT_TRUE(full.core);
  EXPECT_TRUE(full.secret) << "so that its absence above says something";
}

}  // namespace
}  // namespace ringside::test
