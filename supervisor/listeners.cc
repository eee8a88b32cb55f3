#include "supervisor/listeners.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/log.h"

namespace ringside::supervisor {
namespace {

using link::v1::Connection;

constexpr std::string_view kMetrics = "metrics";
constexpr int kAcceptsPerTurn = 32;
constexpr Duration kPause = std::chrono::milliseconds(100);
constexpr std::string_view kForbidden =
    "HTTP/1.1 403 Forbidden\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: 29\r\n"
    "Connection: close\r\n"
    "\r\n"
    R"({"detail":"Peer not allowed"})";
static_assert(std::string_view(R"({"detail":"Peer not allowed"})").size() == 29, "the length that the head says");

/// A port that any may be, is.
bool serves(const TcpPlace& bound, const TcpPlace& wanted) {
  return bound.host == wanted.host && (wanted.port == 0 || bound.port == wanted.port);
}

}  // namespace

struct Listeners::Listener {
  ListenerSpec spec;
  Owner owner;
  bool paused = false;
  bool starved = false;  ///< the shortage has been logged
  UniqueFd fd;
  EventSource ready;  // after the descriptor it watches
  EventSource pause_over;

  ~Listener() {
    if (!owner.path.empty()) ::unlink(owner.path.c_str());
  }
};

std::vector<ListenerSpec> listeners_for(const std::vector<std::string>& doors, const EdgeConfig& edge) {
  const auto has = [&](std::string_view door) { return std::find(doors.begin(), doors.end(), door) != doors.end(); };
  return {
      {"runtime", "runtime.sock", SocketKind::kStream, Connection::DOOR_GRPC, has("grpc")},
      {"ring", "ring.sock", SocketKind::kSeqPacket, Connection::DOOR_RING, has("ring") || has("handle")},
      {"http", "http.sock", SocketKind::kStream, Connection::DOOR_HTTP, has("http")},
      {"control", "control.sock", SocketKind::kStream, std::nullopt, true},
      {kMetrics, "metrics.sock", SocketKind::kStream, std::nullopt, true},
      {"edge", "edge", SocketKind::kStream, Connection::DOOR_EDGE, edge.listen.has_value(), edge.listen},
      {"remote", "remote", SocketKind::kStream, Connection::DOOR_REMOTE, edge.grpc_listen.has_value(),
       edge.grpc_listen},
  };
}

Listeners::Listeners(const Clock& clock, PeerList peers, Hooks hooks)
    : clock_(clock), peers_(std::move(peers)), hooks_(std::move(hooks)) {}

Listeners::~Listeners() = default;

Result<std::unique_ptr<Listeners>> Listeners::open(EventLoop& loop, const Clock& clock, const RuntimeFolder& folder,
                                                   Options options, Hooks hooks) {
  std::unique_ptr<Listeners> listeners(new Listeners(clock, std::move(options.peers), std::move(hooks)));
  for (const auto& spec : options.specs) {
    auto adopted = options.adopted.give(spec.handed_as);
    bool inherited_one = false;
    for (auto& inherited : options.inherited) {
      if (inherited.file != spec.file) continue;
      inherited_one = true;
      Owner owner{inherited.ours, inherited.ours && !spec.place ? folder.socket(spec.file) : std::string()};
      if (inherited.ours && !spec.open) {
        if (!owner.path.empty()) ::unlink(owner.path.c_str());
        continue;
      }
      if (spec.place && !serves(bound_place(inherited.fd.get()), *spec.place)) {
        inherited.fd.reset();
        RS_TRY_STATUS(listeners->bind(loop, folder, spec));
        continue;
      }
      RS_TRY_STATUS(listeners->add(loop, spec, std::move(inherited.fd), std::move(owner)));
    }
    if (adopted.empty() && !inherited_one && spec.open) RS_TRY_STATUS(listeners->bind(loop, folder, spec));
    for (auto& fd : adopted) {
      log::info("socket adopted name={} descriptor={}", spec.handed_as, fd.get());
      if (!spec.open) {
        log::warn(
            "no door that is on needs this socket, so its clients are turned away; disable its unit, or name the door "
            "in \"doors\" name={}",
            spec.handed_as);
      }
      RS_TRY_STATUS(listeners->add(loop, spec, std::move(fd), Owner()));
    }
  }
  return listeners;
}

Status Listeners::bind(EventLoop& loop, const RuntimeFolder& folder, const ListenerSpec& spec) {
  const std::string at = spec.place ? to_string(*spec.place) : folder.socket(spec.file);
  auto bound = spec.place ? listen_at(*spec.place) : listen_at(at, spec.kind);
  if (!bound.ok()) {
    log::error("cannot listen: {} at={} error={}", bound.error().message, at,
               std::generic_category().message(bound.error().os_error));
    return bound.error();
  }
  if (spec.place) log::info("listening over TCP door={} at={}", spec.file, to_string(bound_place(bound->get())));
  return add(loop, spec, std::move(bound).value(), {true, spec.place ? std::string() : at});
}

Status Listeners::add(EventLoop& loop, const ListenerSpec& spec, UniqueFd fd, Owner owner) {
  auto listener = std::make_unique<Listener>();
  Listener& at = *listener;
  at.spec = spec;
  at.owner = std::move(owner);
  at.fd = std::move(fd);
  at.ready = RS_TRY(loop.watch(at.fd.get(), [this, &at](std::uint32_t /*events*/) { accept_some(at); }));
  at.pause_over = RS_TRY(loop.timer([this, &at] {
    at.paused = false;
    choose_events(at);
  }));
  choose_events(at);
  refused_.try_emplace(std::string(spec.file), 0);
  listeners_.push_back(std::move(listener));
  return {};
}

Status Listeners::change(EventLoop& loop, const RuntimeFolder& folder, const std::vector<ListenerSpec>& specs,
                         PeerList peers) {
  for (const auto& spec : specs) {
    std::erase_if(listeners_, [&](const auto& listener) {
      const bool moved = spec.place && listener->spec.place != spec.place;
      return listener->spec.file == spec.file && (!spec.open || moved) && listener->owner.ours;
    });
    bool there = false;
    for (const auto& listener : listeners_) {
      if (listener->spec.file != spec.file) continue;
      there = true;
      listener->spec.open = spec.open;
      choose_events(*listener);
    }
    if (!there && spec.open) RS_TRY_STATUS(bind(loop, folder, spec));
  }
  peers_ = std::move(peers);
  return {};
}

std::vector<Listeners::Open> Listeners::open_sockets() const {
  std::vector<Open> out;
  for (const auto& listener : listeners_) {
    out.push_back({std::string(listener->spec.file), listener->fd.get(), listener->owner.ours});
  }
  return out;
}

void Listeners::accept_for_workers(bool accept) {
  if (accepting_ == accept) return;
  accepting_ = accept;
  for (const auto& listener : listeners_) choose_events(*listener);
}

void Listeners::close_for_workers() {
  std::erase_if(listeners_, [](const auto& listener) { return listener->spec.for_workers(); });
}

void Listeners::choose_events(Listener& listener) const {
  const bool waits_for_worker = listener.spec.open && listener.spec.for_workers();
  const bool wanted = (accepting_ || !waits_for_worker) && !listener.paused;
  listener.ready.want(wanted ? std::uint32_t{EPOLLIN} : 0);
}

void Listeners::accept_some(Listener& listener) {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    if (listener.spec.open && listener.spec.for_workers() && !hooks_.may_accept()) return;
    UniqueFd fd(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd) {
      listener.starved = false;
      take(listener, std::move(fd));
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno != EAGAIN) pause(listener, errno);
    return;
  }
}

void Listeners::take(Listener& listener, UniqueFd fd) {
  if (!listener.spec.open) return;
  if (listener.spec.place) {
    std::string address = peer_address(fd.get());
    return hooks_.to_worker({std::move(fd), *listener.spec.door, 0, 0, std::move(address)});
  }
  auto peer = peer_credentials(fd.get());
  if (!peer.ok()) return refuse(listener, std::move(fd), {}, peer.error().message);
  const std::string_view check = refused_by(*peer, ::geteuid(), peers_);
  if (!check.empty()) return refuse(listener, std::move(fd), *peer, check);
  if (listener.spec.handed_as == kMetrics) return hooks_.to_metrics(std::move(fd));
  if (!listener.spec.for_workers()) return hooks_.to_control(std::move(fd), peer->uid);
  hooks_.to_worker({std::move(fd), *listener.spec.door, peer->pid, peer->uid, {}});
}

void Listeners::refuse(const Listener& listener, UniqueFd fd, const PeerCredentials& peer, std::string_view check) {
  ++refused_[std::string(listener.spec.file)];
  log::warn("peer refused: {} socket={} pid={} uid={} gid={}", check, listener.spec.file, peer.pid, peer.uid, peer.gid);
  if (listener.spec.door != Connection::DOOR_HTTP) return hooks_.refused(UniqueFd());
  // A fresh socket has room for this. It stays open for a moment, because closing it under an unread request would make
  // the peer's write fail before it reads the answer.
  const bool answered = ::send(fd.get(), kForbidden.data(), kForbidden.size(), MSG_NOSIGNAL) > 0;
  if (answered) ::shutdown(fd.get(), SHUT_WR);
  hooks_.refused(answered ? std::move(fd) : UniqueFd());
}

void Listeners::pause(Listener& listener, int error) {
  if (!std::exchange(listener.starved, true)) {
    log::error("cannot accept, trying again every {} ms: {} socket={}",
               std::chrono::duration_cast<std::chrono::milliseconds>(kPause).count(),
               std::generic_category().message(error), listener.spec.file);
  }
  listener.paused = true;
  choose_events(listener);
  listener.pause_over.arm(clock_.now() + kPause);
}

}  // namespace ringside::supervisor
