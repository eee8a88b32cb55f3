// ringside-guard by itself: exit codes, signals, and the end of the tree.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <string>
#include <utility>

#include "tests/worker/upstream/stdio_fixture.h"
#include "worker/upstream/guarded_child.h"

namespace ringside::worker {
namespace {

using testing::HasSubstr;

GuardedChild guard(const std::string& script, const std::string& folder = "") {
  StdioUpstreamOptions options;
  options.name = "script";
  options.command = "sh";
  options.args = {"-c", script};
  options.cwd = folder;
  options.guard_program = test::program("ringside-guard");
  auto child = start_guarded(options);
  RS_CHECK(child.ok(), "the guard starts");
  return std::move(*child);
}

std::string read_line(const UniqueFd& fd) {
  std::string line;
  for (char byte = 0; !line.ends_with('\n');) {
    pollfd ready{fd.get(), POLLIN, 0};
    if (::poll(&ready, 1, 30'000) != 1 || ::read(fd.get(), &byte, 1) != 1) break;
    line.push_back(byte);
  }
  return line;
}

// -1 when it does not end in ten seconds.
int exit_code(const GuardedChild& child) {
  pollfd end{child.process.get(), POLLIN, 0};
  if (::poll(&end, 1, 10'000) != 1) return -1;
  int status = 0;
  ::waitpid(child.guard, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(Guard, it_exits_as_its_command_did) {
  EXPECT_EQ(exit_code(guard("exit 0")), 0);
  EXPECT_EQ(exit_code(guard("exit 7")), 7);
  EXPECT_EQ(exit_code(guard("kill -KILL $$")), 128 + SIGKILL);
}

TEST(Guard, a_command_that_cannot_run_is_reported) {
  StdioUpstreamOptions options;
  options.name = "missing";
  options.command = "no-such-command-anywhere";
  options.guard_program = test::program("ringside-guard");
  const auto child = start_guarded(options);
  ASSERT_TRUE(child.ok());
  EXPECT_THAT(read_line(child->errors), HasSubstr("missing: cannot run it: no-such-command-anywhere: No such file"));
  EXPECT_EQ(exit_code(*child), 127);
  const auto lost = guard("true", "/no/such/folder");
  EXPECT_THAT(read_line(lost.errors), HasSubstr("cannot enter its folder"));
  EXPECT_EQ(exit_code(lost), 127);
}

TEST(Guard, wrong_usage_is_told) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{{},
                                                                     {"--name", "n", "--", "true"},
                                                                     {"--lifeline", "x", "--", "true"},
                                                                     {"--lifeline", "3"},
                                                                     {"--what", "1", "--", "true"}}) {
    auto argv = arguments;
    argv.insert(argv.begin(), test::program("ringside-guard"));
    const auto finished = test::run(argv);
    EXPECT_EQ(finished.exit_code, 2);
    EXPECT_THAT(finished.err, HasSubstr("usage: ringside-guard"));
  }
}

TEST(Guard, the_commands_pipes_close_when_it_ends_and_not_later) {
  auto child = guard("echo out; exec 1>&-; read line; exit 3");
  EXPECT_EQ(read_line(child.output), "out\n");
  EXPECT_EQ(read_line(child.output), "");  // the end, although the command and its guard live
  child.input.reset();
  EXPECT_EQ(exit_code(child), 3);
}

TEST(Guard, a_polite_command_ends_by_sigterm_when_the_lifeline_closes) {
  auto child = guard("trap 'exit 9' TERM; echo ready; while :; do read line <&2 || sleep 0.01; done");
  EXPECT_EQ(read_line(child.output), "ready\n");
  child.lifeline.reset();
  EXPECT_EQ(exit_code(child), 9);
}

TEST(Guard, sigterm_to_the_guard_ends_the_tree_too) {
  auto child = guard("trap '' TERM; echo $$; while :; do sleep 1000; done");
  const Watched shell(static_cast<pid_t>(std::stol(read_line(child.output))));
  ASSERT_TRUE(shell.alive());
  ::kill(child.guard, SIGTERM);
  EXPECT_EQ(exit_code(child), 128 + SIGKILL);
  EXPECT_FALSE(shell.alive());
}

TEST(Guard, orphans_are_reaped_while_the_command_lives) {
  auto child = guard("(setsid sh -c 'echo $$' &) ; read line; echo done");
  const Watched orphan(static_cast<pid_t>(std::stol(read_line(child.output))));
  EXPECT_TRUE(!orphan.existed() || orphan.ends_within(10'000));
  ASSERT_EQ(::write(child.input.get(), "\n", 1), 1);
  EXPECT_EQ(read_line(child.output), "done\n");
  EXPECT_EQ(exit_code(child), 0);
}

TEST(Guard, its_death_takes_the_command_along) {
  auto child = guard("echo $$; exec sleep 1000");
  const Watched command(static_cast<pid_t>(std::stol(read_line(child.output))));
  ASSERT_TRUE(command.alive());
  ::kill(child.guard, SIGKILL);
  EXPECT_TRUE(command.ends_within(10'000));
  EXPECT_EQ(exit_code(child), 128 + SIGKILL);
}

}  // namespace
}  // namespace ringside::worker
