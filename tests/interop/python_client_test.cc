// A stranger's client, generated from the contract's .proto by protoc's Python plugins, against a real Ringside.

#include <gtest/gtest.h>

#include "tests/support/house.h"

namespace ringside::test {
namespace {

TEST(PythonClient, initializes_lists_calls_closes_and_survives_its_workers_death) {
  const House house({.workers = 2});
  const TempDir folder;
  Process client({.argv = {"/usr/bin/python3", PYTHON_CLIENT, house.socket("runtime.sock"), folder.file("killed")},
                  .environment = {"PYTHONPATH=" PYTHON_OUT},
                  .stdout_path = folder.file("out"),
                  .stderr_path = folder.file("err")});
  ASSERT_TRUE(eventually([&] { return read_file(folder.file("out")).find("ready for a death") != std::string::npos; }))
      << read_file(folder.file("err"));
  for (const pid_t worker : house.worker_pids()) house.kill_worker(worker);
  write_file(folder.file("killed"), "");
  EXPECT_EQ(client.wait(), 0) << read_file(folder.file("out")) << read_file(folder.file("err"));
  EXPECT_NE(read_file(folder.file("out")).find("closed: 204"), std::string::npos);
}

}  // namespace
}  // namespace ringside::test
