#include "tests/chaos/house_host.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/unix_socket.h"
#include "ringside/control/v1/control.grpc.pb.h"
#include "rpc/channel.h"
#include "tests/chaos/house_troubles.h"

namespace ringside::test::chaos {
namespace {

constexpr auto kPatience = std::chrono::seconds(60);  // with a machine that has other things to do

std::string proc(pid_t pid, const char* file) { return "/proc/" + std::to_string(pid) + "/" + file; }

pid_t parent_of(pid_t pid) {
  // pid (name) state parent …; the name may have anything in it, and ends with the last bracket.
  const std::string stat = read_file(proc(pid, "stat"));
  std::istringstream rest(stat.substr(std::min(stat.rfind(')') + 1, stat.size())));
  std::string state;
  pid_t parent = 0;
  rest >> state >> parent;
  return parent;
}

std::size_t lines_in(const std::string& path) {
  const std::string text = read_file(path);
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

/// How many there are of which kind, such as "socket 12, eventfd 3".
std::string kinds_of_descriptors(pid_t pid) {
  std::map<std::string, int> kinds;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(proc(pid, "fd"), error)) {
    const std::string link = std::filesystem::read_symlink(entry.path(), error).string();
    ++kinds[link.substr(0, link.find(":[", link.find(':') == 10 ? 11 : 0))];
  }
  std::string text;
  for (const auto& [kind, count] : kinds) text += (text.empty() ? "" : ", ") + kind + " " + std::to_string(count);
  return text;
}

std::string configuration(std::uint16_t far_port, const std::string& effects) {
  // Two builtin ones: a name that two have is told apart by who has it, whoever else is down.
  // Shared, for what is counted in the end are the processes of the house, and not how many sessions there were.
  return R"({"mcpServers": {"builtin": {"builtin": true}, "second": {"builtin": true},
    "far": {"url": "http://127.0.0.1:)" +
         std::to_string(far_port) + R"(/mcp", "shared": true},
    "near": {"command": ")" +
         program("demo_server") + R"(", "args": ["--log-calls", ")" + effects + R"("], "shared": true}},
    "rings": {"segmentBytes": 1048576},
    "lives": {"drainMs": 2000, "stuckMs": )" +
         std::to_string(1500 * kSlowness) + "}}";
}

}  // namespace

std::vector<pid_t> processes_below(pid_t pid) {
  std::multimap<pid_t, pid_t> children;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const pid_t each = std::atoi(entry.path().filename().c_str());
    if (each > 0) children.emplace(parent_of(each), each);
  }
  std::vector<pid_t> found{pid};
  for (std::size_t i = 0; i < found.size(); ++i) {
    const auto [first, last] = children.equal_range(found[i]);
    for (auto child = first; child != last; ++child) found.push_back(child->second);
  }
  found.erase(found.begin());
  return found;
}

std::size_t descriptors_of(pid_t pid) {
  std::error_code error;
  const std::filesystem::directory_iterator all(proc(pid, "fd"), error);
  return error ? 0 : static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

std::size_t kib_of(pid_t pid, const std::string& field) {
  std::ifstream status(proc(pid, "status"));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field + ":")) return std::stoul(line.substr(field.size() + 1));
  }
  return 0;
}

ChaosHouse::ChaosHouse() : dir_(folder_.file("run")) {
  std::filesystem::create_directory(dir_);
  std::filesystem::permissions(dir_, std::filesystem::perms(0750));
  for (const char* name : {"runtime", "ring", "http", "control", "metrics"}) {
    const auto kind = std::string_view(name) == "ring" ? SocketKind::kSeqPacket : SocketKind::kStream;
    sockets_.push_back(listen_at(dir_ + "/" + name + ".sock", kind).value());
    handed_over_.push_back({name, sockets_.back().get()});
  }
  start_far();
  write_file(folder_.file("ringside.json"), configuration(far_port_, folder_.file("effects")));
  start_supervisor();
  EXPECT_TRUE(eventually([this] { return whole(); }, kPatience)) << log();
}

ChaosHouse::~ChaosHouse() {
  const auto below = processes_below(supervisor_->pid());
  supervisor_->signal(SIGTERM);
  EXPECT_EQ(supervisor_->wait(), 0);
  for (const pid_t pid : below) {
    EXPECT_TRUE(eventually([pid] { return ::kill(pid, 0) != 0; })) << "process " << pid << " was left behind";
  }
  if (testing::Test::HasFailure()) std::fprintf(stderr, "the log of ringsided:\n%s\n", log().c_str());
}

void ChaosHouse::start_far() {
  const std::string out = folder_.file("far");
  write_file(out, "");
  far_ = std::make_unique<Process>(
      ProcessOptions{.argv = {program("demo_server"), "--http", "--port", std::to_string(far_port_), "--log-calls",
                              folder_.file("effects")},
                     .stdout_path = out});
  const auto listens = [&] { return read_file(out).find("/mcp") != std::string::npos; };
  EXPECT_TRUE(eventually(listens, kPatience)) << "far does not listen";
  const std::string words = read_file(out);
  const auto port = words.find("127.0.0.1:");
  if (port != std::string::npos) far_port_ = static_cast<std::uint16_t>(std::stoi(words.substr(port + 10)));
}

void ChaosHouse::kill_far() {
  far_->signal(SIGKILL);
  far_->wait();
}

void ChaosHouse::start_supervisor() {
  auto options = as_systemd({program("ringsided"), "--config", folder_.file("ringside.json"), "--runtime-dir", dir_,
                             "--workers", std::to_string(kWorkers)},
                            {}, handed_over_);
  options.stderr_path = folder_.file("log");
  supervisor_ = std::make_unique<Process>(options);
}

void ChaosHouse::kill_supervisor() {
  supervisor_->signal(SIGKILL);
  supervisor_->wait();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));  // RestartSec= is a wait, and no event
  start_supervisor();
}

std::optional<control::v1::StatusResponse> ChaosHouse::status() const {
  const auto stub = control::v1::Control::NewStub(rpc::channel_to_path(dir_ + "/control.sock", 4 << 20));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  control::v1::StatusResponse response;
  if (!stub->Status(&context, {}, &response).ok()) return std::nullopt;
  return response;
}

std::vector<pid_t> ChaosHouse::worker_pids() const {
  std::vector<pid_t> pids;
  const auto now = status();
  if (!now) return pids;
  for (const auto& worker : now->workers()) {
    if (worker.state() == control::v1::Worker::STATE_READY) pids.push_back(worker.pid());
  }
  return pids;
}

bool ChaosHouse::whole() const {
  const auto now = status();
  return now && now->workers_size() == kWorkers &&
         std::all_of(now->workers().begin(), now->workers().end(),
                     [](const auto& worker) { return worker.state() == control::v1::Worker::STATE_READY; });
}

bool ChaosHouse::left_alone() const {
  const auto now = status();
  return now && std::all_of(now->workers().begin(), now->workers().end(), [](const auto& worker) {
           return worker.report().rings() == 0 && worker.report().connections_open() == 0;
         });
}

std::map<std::string, int> ChaosHouse::effects() const {
  constexpr std::string_view kKey = R"("call":")";
  std::map<std::string, int> counts;
  std::ifstream file(folder_.file("effects"));
  for (std::string line; std::getline(file, line);) {
    const auto from = line.find(kKey);
    if (from == std::string::npos) continue;
    const auto id = line.substr(from + kKey.size());
    ++counts[id.substr(0, id.find('"'))];
  }
  return counts;
}

std::vector<pid_t> ChaosHouse::near_pids() const {
  std::vector<pid_t> found;
  for (const pid_t pid : processes_below(supervisor_->pid())) {
    if (read_file(proc(pid, "comm")) == "demo_server\n") found.push_back(pid);
  }
  return found;
}

Footprint ChaosHouse::footprint() const {
  Footprint print;
  const pid_t supervisor = supervisor_->pid();
  print.supervisor_descriptors = descriptors_of(supervisor);
  print.supervisor_maps = lines_in(proc(supervisor, "maps"));
  print.supervisor_kib = kib_of(supervisor, "VmRSS");
  print.processes = processes_below(supervisor).size();
  print.kinds = "supervisor: " + kinds_of_descriptors(supervisor);
  for (const pid_t worker : worker_pids()) {
    print.kinds += "\nworker: " + kinds_of_descriptors(worker);
    print.worker_descriptors += descriptors_of(worker);
    print.worker_maps += lines_in(proc(worker, "maps"));
    print.worker_kib += kib_of(worker, "VmRSS");
  }
  return print;
}

}  // namespace ringside::test::chaos
