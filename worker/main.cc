// ringside-worker: started by ringsided with its end of the link as descriptor 3.

#include <fcntl.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <string>

#include "base/core_dump.h"
#include "base/log.h"
#include "rpc/link.h"
#include "worker/worker.h"

namespace {

/// Bodies of up to 32 MiB stay on the heap and are used again: fresh pages for each megabyte would cost more than its
/// copy.
void keep_large_blocks() {
  constexpr int kMiB = 1 << 20;
  ::mallopt(M_MMAP_THRESHOLD, 32 * kMiB);
  ::mallopt(M_TRIM_THRESHOLD, 256 * kMiB);
  ::mallopt(M_TOP_PAD, 16 * kMiB);
}

/// What the supervisor was given, whatever its own soft limit was when it started us.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("ringside-worker serves calls; ringsided starts it");
  std::string runtime_dir;
  app.add_option("--runtime-dir", runtime_dir,
                 "shown by ps, so that it tells which house a worker belongs to; what counts comes over the link");
  app.set_version_flag("--version", RINGSIDE_VERSION);
  CLI11_PARSE(app, argc, argv);

  ringside::log::init("ringside-worker", "info");
  // Before there is anything to hide; a configuration that wants more in a core comes later.
  if (const auto chosen = ringside::choose_core_dump(ringside::CoreDump::kSmall); !chosen.ok()) {
    ringside::log::warn("{}, so a core of this worker would hold bodies errno={}", chosen.error().message,
                        chosen.error().os_error);
  }
  // A worker never outlives its supervisor, and a terminal's Ctrl-C is the supervisor's to handle.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::signal(SIGINT, SIG_IGN);   // NOLINT(cert-err33-c)
  std::signal(SIGPIPE, SIG_IGN);  // NOLINT(cert-err33-c)
  sigset_t terminate;
  sigemptyset(&terminate);
  sigaddset(&terminate, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &terminate, nullptr);
  if (::fcntl(ringside::rpc::kWorkerLinkFd, F_SETFD, FD_CLOEXEC) != 0) {
    ringside::log::error("descriptor {} is no link; ringside-worker is started by ringsided, not by hand",
                         ringside::rpc::kWorkerLinkFd);
    return 2;
  }
  keep_large_blocks();
  raise_descriptor_limit();
  return ringside::worker::run_worker(ringside::rpc::Link(ringside::UniqueFd(ringside::rpc::kWorkerLinkFd)));
}
