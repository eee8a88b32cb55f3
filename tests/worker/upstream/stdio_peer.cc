// A stdio MCP server for the tests, good or bad as it is told. Flags say how it starts, methods what it does next:
//   --banner  --init good|error|silent|die|future  --deaf  --stubborn  --record FILE  --farewell FILE
#include <dirent.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "mcp/envelope.h"

extern char** environ;  // NOLINT(readability-redundant-declaration)

namespace {

using ringside::mcp::encode_string;
using ringside::mcp::Envelope;

struct Settings {
  bool banner = false;
  bool deaf = false;
  bool stubborn = false;
  std::string init = "good";
  std::string record;
  std::string farewell;
};

void say(const std::string& line) { std::cout << line << '\n' << std::flush; }
void say_raw(const std::string& text) { std::cout << text << std::flush; }

std::string array_of(const std::vector<std::string>& raw) {
  std::string out = "[";
  for (const auto& one : raw) out += (out.size() > 1 ? "," : "") + one;
  return out + "]";
}

long number_param(const Envelope& message, std::string_view key) {
  const auto raw = ringside::mcp::member(message.params, key);
  return raw ? std::strtol(std::string(*raw).c_str(), nullptr, 10) : 0;
}

[[noreturn]] void linger_on() {
  ::signal(SIGTERM, SIG_IGN);
  ::signal(SIGHUP, SIG_IGN);
  for (;;) ::pause();
}

// A daemon as they are made: forked twice, a session of its own. And a child in a process group of its own.
std::vector<std::string> plant_tree() {
  int pids[2] = {-1, -1};
  if (::pipe(pids) != 0) std::abort();
  if (const pid_t middle = ::fork(); middle == 0) {
    ::setsid();
    const pid_t daemon = ::fork();
    if (daemon == 0) linger_on();
    if (::write(pids[1], &daemon, sizeof daemon) != static_cast<ssize_t>(sizeof daemon)) std::abort();
    ::_exit(0);
  }
  pid_t daemon = 0;
  if (::read(pids[0], &daemon, sizeof daemon) != static_cast<ssize_t>(sizeof daemon)) std::abort();
  const pid_t child = ::fork();
  if (child == 0) {
    ::setpgid(0, 0);
    linger_on();
  }
  return {std::to_string(::getpid()), std::to_string(daemon), std::to_string(child)};
}

std::vector<std::string> open_descriptors() {
  std::vector<std::string> out;
  DIR* folder = ::opendir("/proc/self/fd");
  while (const dirent* entry = ::readdir(folder)) {
    if (entry->d_name[0] != '.' && std::atoi(entry->d_name) != ::dirfd(folder)) out.emplace_back(entry->d_name);
  }
  ::closedir(folder);
  return out;
}

class Peer {
 public:
  explicit Peer(Settings settings) : settings_(std::move(settings)) {}

  void take(const std::string& line) {
    if (!settings_.record.empty()) std::ofstream(settings_.record, std::ios::app) << line << '\n';
    Envelope message;
    if (reader_.read(line, message) != ringside::mcp::EnvelopeFault::kNone) std::abort();
    if (message.kind == Envelope::Kind::kResponse) return heard_answer(line);
    if (message.kind == Envelope::Kind::kNotification) {
      if (message.method == "notifications/initialized") initialized_ = true;
      if (message.method == "notifications/cancelled") {
        cancelled_.emplace_back(*ringside::mcp::member(message.params, "requestId"));
      }
      return;
    }
    if (message.method == "initialize") return initialize(message);
    if (!initialized_) std::abort();
    serve(message);
  }

 private:
  static void answer(std::string_view id, std::string_view result) { say(ringside::mcp::result_body(id, result)); }

  void initialize(const Envelope& message) {
    if (settings_.init == "silent") return;
    if (settings_.init == "die") ::_exit(3);
    if (settings_.init == "error") return say(ringside::mcp::error_body(message.id, -32602, "no"));
    const auto version = settings_.init == "future" ? "2999-01-01" : "2025-06-18";
    answer(message.id, std::string(R"({"protocolVersion":")") + version +
                           R"(","capabilities":{},"serverInfo":{"name":"peer","version":"1"}})");
  }

  void heard_answer(const std::string& line) {
    replies_.push_back(line);
    if (replies_.size() == 2) answer(asking_, array_of(replies_));
  }

  void serve(const Envelope& message) {
    const std::string id(message.id);
    const auto& method = message.method;
    if (method == "echo") return answer(id, message.params);
    if (method == "silent") return;
    if (method == "hold") return hold(message);
    if (method == "die") {
      say_raw(R"({"jsonrpc":"2.0","id":)" + id + R"(,"resu)");
      ::_exit(5);
    }
    if (method == "answer_and_die") {
      answer(id, "{}");
      ::_exit(0);
    }
    if (method == "close_output") {
      ::close(STDOUT_FILENO);
      return;
    }
    if (method == "garbage") {
      say("<html><body>502 Bad Gateway</body></html>\n\nnot json\n{\"jsonrpc\":\"1.0\"}\r");
      say(ringside::mcp::result_body("987654321", "{}"));
      say(ringside::mcp::result_body("\"x\"", "{}"));
      say(R"({"jsonrpc":"2.0","method":"notifications/message","params":{}})");
      return answer(id, "{}");
    }
    if (method == "ask") {
      asking_ = id;
      say(R"({"jsonrpc":"2.0","id":"q1","method":"ping"})");
      return say(R"({"jsonrpc":"2.0","id":2,"method":"sampling/createMessage","params":{}})");
    }
    if (method == "say") {
      const auto messages = ringside::mcp::member(message.params, "messages").value_or("[]");
      ringside::mcp::for_each_element(messages, [](std::string_view raw) { say(std::string(raw)); });
      return answer(id, "{}");
    }
    if (method == "change") {
      say(R"({"jsonrpc":"2.0","method":"notifications/tools/list_changed"})");
      return answer(id, "{}");
    }
    if (method == "huge") {
      return answer(id, '"' + std::string(static_cast<std::size_t>(number_param(message, "bytes")), 'x') + '"');
    }
    if (method == "stderr") {
      std::cerr << "a line\x01\n" << std::string(5000, 'y') << "\nno end" << std::flush;
      return answer(id, "{}");
    }
    tell(id, method);
  }

  void tell(const std::string& id, const std::string& method) const {
    if (method == "cancelled") return answer(id, array_of(cancelled_));
    if (method == "tree") return answer(id, array_of(plant_tree()));
    if (method == "pid") return answer(id, std::to_string(::getpid()));
    if (method == "descriptors") return answer(id, array_of(open_descriptors()));
    if (method == "cwd") {
      char path[4096] = {};
      return answer(id, encode_string(::getcwd(path, sizeof path)));
    }
    if (method == "environment") {
      std::vector<std::string> names;
      for (char** one = environ; *one != nullptr; ++one) names.push_back(encode_string(*one));
      return answer(id, array_of(names));
    }
    say(ringside::mcp::error_body(id, -32601, "Method not found"));
  }

  // Answers in the reverse order once all have come.
  void hold(const Envelope& message) {
    held_.emplace_back(std::string(message.id), std::string(message.params));
    if (held_.size() < static_cast<std::size_t>(number_param(message, "count"))) return;
    for (auto one = held_.rbegin(); one != held_.rend(); ++one) answer(one->first, one->second);
    held_.clear();
  }

  Settings settings_;
  ringside::mcp::EnvelopeReader reader_;
  bool initialized_ = false;
  std::vector<std::string> cancelled_;
  std::vector<std::string> replies_;
  std::string asking_;
  std::vector<std::pair<std::string, std::string>> held_;
};

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--banner") settings.banner = true;
    if (flag == "--deaf") settings.deaf = true;
    if (flag == "--stubborn") settings.stubborn = true;
    if (flag == "--init") settings.init = argv[++i];
    if (flag == "--record") settings.record = argv[++i];
    if (flag == "--farewell") settings.farewell = argv[++i];
  }
  if (settings.banner) say("\n  Peer MCP server v1\n  listening on stdio\n{}\n[1]");
  Peer peer(settings);
  for (std::string line; std::getline(std::cin, line);) {
    peer.take(line);
    if (settings.deaf && line.find("notifications/initialized") != std::string::npos) linger_on();
  }
  if (settings.stubborn) linger_on();
  if (!settings.farewell.empty()) std::ofstream(settings.farewell) << "bye\n";
  return 0;
}
