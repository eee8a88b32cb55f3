// A worker that speaks the link and nothing else, and misbehaves when told to by RINGSIDE_FAKE_WORKER, a comma list of:
//   silent          is never ready              exit       exits with 3 at once
//   fail            sends Failed, exits with 1  garbage    sends a packet that is no message, once it is ready
//   deaf            does not read its link after it is ready, until SIGUSR1
//   close-link      closes its link once it is ready and lives on
//   ignore-drain    does not drain              linger     after the drain, waits for SIGKILL
//   die-unread      on the first connection: waits for its first bytes, reads none, dies of SIGKILL
//   die-read        the same, but reads one byte
//   stuck           its heartbeats tell no progress
//   once=FILE       misbehaves only in the process that creates FILE
// To a connection it writes "pid=PID door=DOOR uid=UID\n" and answers lines: "epoch" → "epoch N" after an AdvanceEpoch,
// "config" → the WorkerConfig on a line, "exit N" ends the process, anything else → "heard LINE". What came by
// ring.sock it reports as a ring.
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/epoch_page.h"
#include "ringside/link/v1/link.pb.h"
#include "rpc/link.h"

namespace ringside::test {
namespace {

constexpr int kHeartbeatMs = 200;

struct Connection {
  UniqueFd fd;
  link::v1::Connection::Door door = link::v1::Connection::DOOR_UNKNOWN;
  std::string input;
};

class FakeWorker {
 public:
  FakeWorker() : link_(UniqueFd(rpc::kWorkerLinkFd)) { read_orders(); }

  int run() {
    if (ordered("exit")) return 3;
    configure();
    if (ordered("fail")) {
      link::v1::ToSupervisor message;
      message.mutable_failed()->set_reason("the store is \n broken");
      tell(message);
      return 1;
    }
    if (ordered("silent")) wait_for_ever();
    link::v1::ToSupervisor ready;
    ready.mutable_ready();
    tell(ready);
    if (ordered("garbage")) {
      (void)!::send(link_.fd(), "\xff\xff\xff", 3, MSG_NOSIGNAL);
    }
    if (ordered("close-link")) {
      ::close(rpc::kWorkerLinkFd);
      wait_for_ever();
    }
    if (ordered("deaf")) wait_for_signal(SIGUSR1);
    while (!done_) serve_once();
    if (ordered("linger")) wait_for_ever();
    return 0;
  }

 private:
  void read_orders() {
    const char* text = std::getenv("RINGSIDE_FAKE_WORKER");
    std::istringstream list(text == nullptr ? "" : text);
    for (std::string word; std::getline(list, word, ',');) {
      if (word.starts_with("once=")) {
        const UniqueFd file(::open(word.c_str() + 5, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
        if (!file) {
          orders_.clear();
          return;
        }
      } else {
        orders_.push_back(word);
      }
    }
  }

  [[nodiscard]] bool ordered(std::string_view word) const {
    for (const auto& order : orders_) {
      if (order == word) return true;
    }
    return false;
  }

  [[noreturn]] static void wait_for_ever() {
    while (true) ::pause();
  }

  static void wait_for_signal(int number) {
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, number);
    ::sigwait(&set, &number);
  }

  void tell(const link::v1::ToSupervisor& message) {
    while (!link_.send(message).ok()) {
      pollfd room{link_.fd(), POLLOUT, 0};
      ::poll(&room, 1, -1);
    }
  }

  void configure() {
    link::v1::ToWorker message;
    pollfd first{link_.fd(), POLLIN, 0};
    ::poll(&first, 1, -1);
    auto received = link_.receive(message);
    RS_CHECK(received.ok() && message.has_configure() && received->descriptors.size() == 2, "Configure comes first");
    RS_CHECK(rpc::from_memfd(received->descriptors[0].get(), config_).ok(), "its first descriptor is the WorkerConfig");
    const int page = received->descriptors[1].get();
    RS_CHECK(::mmap(nullptr, kEpochPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, page, 0) == MAP_FAILED,
             "the page is read only");
    auto mapped = EpochReader::map(page);
    RS_CHECK(mapped.ok(), "the page can be mapped to read");
    epoch_.emplace(std::move(mapped).value());
  }

  void report() {
    std::uint32_t rings = 0;
    for (const auto& [number, connection] : connections_) {
      rings += connection.door == link::v1::Connection::DOOR_RING ? 1 : 0;
    }
    link::v1::ToSupervisor message;
    message.mutable_report()->set_rings(rings);
    message.mutable_report()->set_connections_open(static_cast<std::uint32_t>(connections_.size()) - rings);
    if (!ordered("stuck")) ++progress_;
    message.mutable_report()->set_progress(progress_);
    tell(message);
  }

  void serve_once() {
    std::vector<pollfd> watched{{link_.fd(), POLLIN, 0}};
    for (const auto& [number, connection] : connections_) watched.push_back({number, POLLIN, 0});
    const int events = ::poll(watched.data(), watched.size(), kHeartbeatMs);
    if (events == 0) report();
    if (events <= 0) return;
    if (watched[0].revents != 0) take_message();
    for (std::size_t i = 1; i < watched.size(); ++i) {
      if (watched[i].revents != 0) read_line(connections_.at(watched[i].fd));
    }
  }

  void take_message() {
    link::v1::ToWorker message;
    auto received = link_.receive(message);
    if (!received.ok()) return;
    if (received->end_of_file) std::exit(0);
    if (message.has_new_epoch_page()) {
      RS_CHECK(epoch_->follow(received->descriptors.at(0).get()).ok(), "the new page can take the old one's place");
      link::v1::ToSupervisor mapped;
      mapped.mutable_epoch_page_mapped();
      tell(mapped);
    }
    if (message.has_drain() && !ordered("ignore-drain")) done_ = true;
    if (message.has_epoch_advanced()) {
      say(epoch_asker_, "epoch " + std::to_string(epoch_->counter().load(std::memory_order_acquire)) + "\n");
    }
    if (!message.has_connection()) return;
    UniqueFd fd = std::move(received->descriptors.at(0));
    die_if_ordered(fd.get());
    const int number = fd.get();
    say(number, "pid=" + std::to_string(::getpid()) + " door=" + std::to_string(message.connection().door()) +
                    " uid=" + std::to_string(message.connection().peer_uid()) + "\n");
    connections_[number] = {std::move(fd), message.connection().door(), {}};
    report();
  }

  void die_if_ordered(int connection) const {
    if (!ordered("die-unread") && !ordered("die-read")) return;
    pollfd bytes{connection, POLLIN, 0};
    ::poll(&bytes, 1, -1);
    char byte = 0;
    if (ordered("die-read")) (void)!::read(connection, &byte, 1);
    ::raise(SIGKILL);
  }

  static void say(int fd, const std::string& text) { (void)!::send(fd, text.data(), text.size(), MSG_NOSIGNAL); }

  void read_line(Connection& connection) {
    std::array<char, 512> bytes{};
    const ssize_t size = ::read(connection.fd.get(), bytes.data(), bytes.size());
    if (size < 0) return;
    if (size == 0) {
      connections_.erase(connection.fd.get());
      report();
      return;
    }
    connection.input.append(bytes.data(), static_cast<std::size_t>(size));
    for (std::size_t end = 0; (end = connection.input.find('\n')) != std::string::npos;) {
      const std::string line = connection.input.substr(0, end);
      connection.input.erase(0, end + 1);
      obey(connection.fd.get(), line);
    }
  }

  void obey(int fd, const std::string& line) {
    if (line == "epoch") {
      epoch_asker_ = fd;
      link::v1::ToSupervisor message;
      message.mutable_advance_epoch()->set_token(7);
      tell(message);
    } else if (line == "config") {
      say(fd, config_.ShortDebugString() + "\n");
    } else if (line.starts_with("exit ")) {
      std::exit(std::atoi(line.c_str() + 5));
    } else {
      say(fd, "heard " + line + "\n");
    }
  }

  rpc::Link link_;
  std::vector<std::string> orders_;
  link::v1::WorkerConfig config_;
  std::optional<EpochReader> epoch_;
  std::map<int, Connection> connections_;
  int epoch_asker_ = -1;
  std::uint64_t progress_ = 0;
  bool done_ = false;
};

}  // namespace
}  // namespace ringside::test

int main() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGUSR1);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  return ringside::test::FakeWorker().run();
}
