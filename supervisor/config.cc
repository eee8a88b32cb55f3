#include "supervisor/config.h"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/doors.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/config_federation.h"
#include "supervisor/config_fields.h"
#include "supervisor/config_limits.h"
#include "supervisor/config_servers.h"

namespace ringside::supervisor {
namespace {

constexpr std::uint64_t kMaxWorkers = 64;
constexpr std::uint64_t kMaxRings = 4096;
constexpr std::uint64_t kBlockBytes = 4096;
constexpr std::uint64_t kMinSegmentBytes = 1ULL << 20U;  // what a ring's layout takes; docs/protocol.md
constexpr std::uint64_t kMaxSegmentBytes = 8ULL << 20U;
constexpr std::uint64_t kMaxSpinUs = 1'000'000;
constexpr std::uint64_t kMinLifeMs = 100;  // of a worker's time limits: less is noise on a busy machine
constexpr std::uint64_t kMaxLifeMs = 3'600'000;
constexpr std::uint64_t kMaxFailures = 1'000;
constexpr std::uint64_t kMaxCount = 1ULL << 53U;  // what every JSON tool can say
constexpr unsigned kCpusWorthSpinning = 4;
constexpr std::uint64_t kDefaultSpinUs = 20;
constexpr std::size_t kMaxConfigBytes = 8U << 20U;

std::vector<std::string> built_doors() {
  std::vector<std::string> doors;
  for (const auto& door : kDoorNames) {
    if (door.built) doors.emplace_back(door.name);
  }
  return doors;
}

/// Empty when `name` is a door of this build; otherwise what is wrong with it.
std::string wrong_door(const std::string& name) {
  for (const auto& door : kDoorNames) {
    if (door.name != name) continue;
    if (door.built) return {};
    return "the door \"" + name + "\" was left out of this build; take it out of the list, or build with -D" +
           std::string(door.build_option) + "=ON";
  }
  return "expected one of ring, handle, grpc, http, got \"" + name + "\"";
}

void add_door(const std::string& name, std::vector<std::string>& doors) {
  if (std::find(doors.begin(), doors.end(), name) == doors.end()) doors.push_back(name);
}

void read_doors(const Field& field, std::vector<std::string>& doors) {
  doors.clear();
  field.each_item("an array of doors (ring, handle, grpc, http)", [&](const Field& item) {
    std::string name;
    if (!item.read_text(name)) return;
    const std::string wrong = wrong_door(name);
    if (!wrong.empty()) return item.problem(wrong);
    add_door(name, doors);
  });
  if (field.is(JsonNode::Kind::kArray) && field.node().items.empty()) {
    field.problem("expected at least one of ring, handle, grpc, http; a runtime without a door serves nobody");
  }
}

void read_rings(const Field& field, link::v1::Rings& rings) {
  std::uint64_t value = 0;
  field.each_known({
      {"perWorker",
       [&](const Field& member) {
         member.read(value = 1, 1, kMaxRings);
         rings.set_max_rings(static_cast<std::uint32_t>(value));
       }},
      {"segmentBytes",
       [&](const Field& member) {
         member.read(value = kMinSegmentBytes, kMinSegmentBytes, kMaxSegmentBytes);
         if (value % kBlockBytes != 0) {
           member.problem("expected a multiple of " + std::to_string(kBlockBytes) + ", got " + std::to_string(value));
         }
         rings.set_segment_bytes(value);
       }},
      {"spinUs",
       [&](const Field& member) {
         member.read(value = 0, 0, kMaxSpinUs);
         rings.set_spin_us(value);
       }},
  });
}

void read_lives(const Field& field, PolicyOptions& lives) {
  const auto ms = [](Duration& to) {
    return [&to](const Field& member) {
      std::uint64_t value = kMinLifeMs;
      member.read(value, kMinLifeMs, kMaxLifeMs);
      to = std::chrono::milliseconds(value);
    };
  };
  const auto count = [](std::uint64_t& to) { return [&to](const Field& member) { member.read(to, 0, kMaxCount); }; };
  field.each_known({
      {"startMs", ms(lives.start_limit)},
      {"drainMs", ms(lives.drain_within)},
      {"stuckMs", ms(lives.stuck_within)},
      {"forgivenMs", ms(lives.forgiven_after)},
      {"breakerPauseMs", ms(lives.breaker_pause)},
      {"breakerFailures",
       [&](const Field& member) {
         std::uint64_t value = lives.breaker_after;
         member.read(value, 1, kMaxFailures);
         lives.breaker_after = static_cast<std::uint32_t>(value);
       }},
      {"recycleCalls", count(lives.recycle_calls)},
      {"recycleRssBytes", count(lives.recycle_rss_bytes)},
  });
}

template <typename Id>
using FindId = std::optional<Id> (*)(const char* name);

std::optional<uid_t> find_user(const char* name) {
  const passwd* found = ::getpwnam(name);  // NOLINT(concurrency-mt-unsafe): read before there are threads
  return found == nullptr ? std::nullopt : std::optional(found->pw_uid);
}

std::optional<gid_t> find_group(const char* name) {
  const group* found = ::getgrnam(name);  // NOLINT(concurrency-mt-unsafe): read before there are threads
  return found == nullptr ? std::nullopt : std::optional(found->gr_gid);
}

template <typename Id>
void read_ids(const Field& field, const std::string& what, FindId<Id> find, std::vector<Id>& ids) {
  constexpr std::uint64_t kMostId = 0xFFFFFFFEU;  // the last one means "none" to the kernel
  field.each_item("an array of names and numbers of " + what + "s", [&](const Field& item) {
    if (item.is(JsonNode::Kind::kInteger)) {
      std::uint64_t id = 0;
      item.read(id, 0, kMostId);
      return ids.push_back(static_cast<Id>(id));
    }
    if (!item.is(JsonNode::Kind::kString)) return item.expected("the name or number of a " + what);
    const auto id = find(item.node().text.c_str());
    if (!id) return item.problem("expected a " + what + " of this machine, got \"" + item.node().text + "\"");
    ids.push_back(*id);
  });
}

void read_peers(const Field& field, PeerList& peers) {
  field.each_known({
      {"users", [&](const Field& member) { read_ids<uid_t>(member, "user", find_user, peers.users); }},
      {"groups", [&](const Field& member) { read_ids<gid_t>(member, "group", find_group, peers.groups); }},
  });
}

void read_mode(const Field& field, std::string& mode) {
  if (field.is(JsonNode::Kind::kString) && field.node().text == "shadow") {
    return field.problem("expected one of off, full; \"shadow\" is refused until it does something");
  }
  if (field.is(JsonNode::Kind::kString) && field.node().text == "edge") {
    return field.problem("expected one of off, full; \"edge\" is refused until there is a core to pass calls on to");
  }
  field.read(mode, {"off", "full"});
}

void read_top(const Field& top, Config& config, std::vector<Problem>& warnings) {
  std::optional<Field> virtual_servers;  // read last: they name what mcpServers has
  top.each_known({
      {"mcpServers", [&](const Field& field) { config.upstreams = read_servers(field, warnings); }},
      {"workers",
       [&](const Field& field) {
         std::uint64_t workers = config.workers;
         field.read(workers, 1, kMaxWorkers);
         config.workers = static_cast<std::uint32_t>(workers);
       }},
      {"doors", [&](const Field& field) { read_doors(field, config.doors); }},
      {"limits", [&](const Field& field) { read_limits(field, config.limits); }},
      {"lives", [&](const Field& field) { read_lives(field, config.lives); }},
      {"rings", [&](const Field& field) { read_rings(field, config.rings); }},
      {"peers", [&](const Field& field) { read_peers(field, config.peers); }},
      {"logLevel",
       [&](const Field& field) {
         field.read(config.log_level, {"debug", "info", "warn", "error", "off"});
       }},
      {"transportEcho", [&](const Field& field) { field.read(config.transport_echo); }},
      {"federation", [&](const Field& field) { read_federation(field, config.federation); }},
      {"servers", [&](const Field& field) { virtual_servers = field; }},
      {"store", [&](const Field& field) { read_store(field, config.store); }},
      {"edge", [&](const Field& field) { read_edge(field, config.edge); }},
      {"mode", [&](const Field& field) { read_mode(field, config.mode); }},
      {"coreDumps",
       [&](const Field& field) {
         field.read(config.core_dumps, {"small", "full"});
       }},
  });
  if (virtual_servers) config.servers = read_virtual_servers(*virtual_servers, config.upstreams);
}

/// FILE:LINE:COLUMN: PATH: WHAT, without the parts that there are none of.
std::string to_line(const std::string& source, const Problem& problem) {
  std::string line = source;
  if (problem.line > 0) line += ":" + std::to_string(problem.line);
  if (problem.column > 0) line += ":" + std::to_string(problem.column);
  line += ": ";
  if (!problem.path.empty()) line += problem.path + ": ";
  return log::printable(line + problem.what, 1000);
}

void apply_environment(const ConfigEnvironment& environment, LoadedConfig& loaded) {
  if (environment.log_level) {
    const std::string level = ascii_lower(*environment.log_level);
    constexpr std::array<std::string_view, 5> kLevels{"debug", "info", "warn", "error", "off"};
    if (std::find(kLevels.begin(), kLevels.end(), level) == kLevels.end()) {
      loaded.errors.push_back("RINGSIDE_LOG_LEVEL: expected one of debug, info, warn, error, off, got \"" +
                              log::printable(*environment.log_level) + "\"");
    } else {
      loaded.config.log_level = level;
    }
  }
  if (!environment.doors) return;
  loaded.config.doors.clear();
  std::istringstream list(*environment.doors);
  bool named = false;
  for (std::string name; std::getline(list, name, ',');) {
    name.erase(0, name.find_first_not_of(" \t"));
    name.erase(name.find_last_not_of(" \t") + 1);
    if (name.empty()) continue;
    named = true;
    const std::string wrong = wrong_door(name);
    if (wrong.empty()) add_door(name, loaded.config.doors);
    if (!wrong.empty()) loaded.errors.push_back("RINGSIDE_DOORS: " + log::printable(wrong));
  }
  if (!named) loaded.errors.emplace_back("RINGSIDE_DOORS: expected a comma list of ring, handle, grpc, http, got none");
}

std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): read before there are threads
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

}  // namespace

Config::Config() : doors(built_doors()), limits(default_limits()) {
  rings.set_max_rings(64);
  rings.set_segment_bytes(4ULL << 20U);
  rings.set_spin_us(std::thread::hardware_concurrency() < kCpusWorthSpinning ? 0 : kDefaultSpinUs);
}

ConfigEnvironment ConfigEnvironment::read() { return {variable("RINGSIDE_DOORS"), variable("RINGSIDE_LOG_LEVEL")}; }

LoadedConfig parse_config(std::string_view text, const std::string& source, const ConfigEnvironment& environment) {
  LoadedConfig loaded;
  loaded.source = source;
  std::vector<Problem> problems;
  std::vector<Problem> warnings;
  if (const auto tree = read_json(text, problems)) {
    const Field top(*tree, {}, problems);
    read_top(top, loaded.config, warnings);
  }
  std::stable_sort(problems.begin(), problems.end(), [](const auto& a, const auto& b) { return a.line < b.line; });
  for (const auto& problem : problems) loaded.errors.push_back(to_line(source, problem));
  for (const auto& warning : warnings) loaded.warnings.push_back(to_line(source, warning));
  apply_environment(environment, loaded);
  return loaded;
}

LoadedConfig load_config(const std::optional<std::string>& file, const ConfigEnvironment& environment) {
  const std::string path = file.value_or(std::string(kDefaultConfigFile));
  struct stat info {};
  if (!file && ::stat(path.c_str(), &info) != 0 && errno == ENOENT) {
    return parse_config("{}", "built-in defaults", environment);
  }
  LoadedConfig unreadable;
  unreadable.source = path;
  const auto refuse = [&](const std::string& why) {
    unreadable.errors.push_back(path + ": cannot be read: " + why);
    return unreadable;
  };
  if (::stat(path.c_str(), &info) != 0) return refuse(std::strerror(errno));  // NOLINT(concurrency-mt-unsafe)
  if (!S_ISREG(info.st_mode)) return refuse("it is not a regular file");
  if (static_cast<std::uint64_t>(info.st_size) > kMaxConfigBytes) return refuse("it is longer than 8 MiB");
  errno = 0;
  const std::ifstream stream(path, std::ios::binary);
  if (!stream) return refuse(std::strerror(errno));  // NOLINT(concurrency-mt-unsafe)
  std::ostringstream text;
  text << stream.rdbuf();
  return parse_config(text.str(), path, environment);
}

link::v1::WorkerConfig to_worker_config(const Config& config, std::uint32_t index, const std::string& runtime_dir,
                                        std::string_view version) {
  link::v1::WorkerConfig worker;
  worker.set_worker_index(index);
  worker.set_runtime_dir(runtime_dir);
  worker.set_version(std::string(version));
  worker.set_log_level(config.log_level);
  worker.mutable_doors()->Assign(config.doors.begin(), config.doors.end());
  *worker.mutable_limits() = config.limits;
  worker.mutable_upstreams()->Assign(config.upstreams.begin(), config.upstreams.end());
  *worker.mutable_rings() = config.rings;
  worker.set_transport_echo(config.transport_echo);
  worker.set_mode(config.mode);
  *worker.mutable_federation() = config.federation;
  worker.mutable_servers()->Assign(config.servers.begin(), config.servers.end());
  if (!config.store.kind().empty()) *worker.mutable_store() = config.store;
  *worker.mutable_edge() = to_edge(config.edge);
  worker.set_full_core_dumps(config.core_dumps == "full");
  return worker;
}

}  // namespace ringside::supervisor
