#include "worker/doors/ring_thread.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include "base/log.h"
#include "base/unix_socket.h"
#include "shm/futex.h"

namespace ringside::worker {
namespace {

// While rings keep the thread busy it looks at its descriptors this often: a parked ring's first call waits no longer.
constexpr auto kLookEvery = std::chrono::microseconds(50);
// While a drain waits for clients to give room back.
constexpr int kDrainLookMs = 1;
// Connections that may owe their handshake at once.
constexpr std::size_t kMaxHandshakes = 128;
// Answers waiting to be fetched from one ring, as a multiple of the largest body.
constexpr std::size_t kKeptBodies = 4;
// How long a body in parts waits for bodies of other rings, at most.
constexpr auto kPatience = std::chrono::seconds(1);
constexpr unsigned kWatchBits = 3;
constexpr int kLooksPerClockReading = 8;

SteadyTime now() { return std::chrono::steady_clock::now(); }

}  // namespace

RingThread::RingThread(const RingDoorOptions& options, Runtime& runtime, RingRegistry& registry,
                       shm::SegmentReserve& reserve, std::shared_ptr<RingMailbox> mailbox,
                       RingDoor::AdoptChannel adopt_channel)
    : options_(options),
      runtime_(runtime),
      registry_(registry),
      reserve_(reserve),
      mailbox_(std::move(mailbox)),
      adopt_channel_(std::move(adopt_channel)),
      budget_(std::make_shared<shm::CopyBudget>(options.bodies_in_parts * options.max_body_bytes, kPatience)),
      spin_(options.spin) {}

RingThread::~RingThread() {
  if (!thread_.joinable()) return;
  mailbox_->stop();
  thread_.join();
}

Status RingThread::start() {
  epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return Error{Code::kSystem, errno, "an epoll cannot be made"};
  if (!watch(mailbox_->fd(), EPOLLIN, Watch::kMailbox, 0)) return Error{Code::kSystem, errno, "an epoll takes nothing"};
  reserve_.refill();
  thread_ = std::thread([this] {
    ::pthread_setname_np(::pthread_self(), "rings");
    run();
  });
  return {};
}

void RingThread::run() {
  SteadyTime last_work = now();
  SteadyTime last_look = last_work;
  bool looking = false;  // nothing was there at the last round, and the thread did not sleep
  while (!stopping_) {
    const bool any = look_round();
    const SteadyTime time = now();
    if (any) {
      if (looking) spin_.paid();
      looking = false;
      last_work = time;
    } else if (time - last_work >= spin_.length() && park_awake()) {
      wait(patience_ms());
      last_work = last_look = now();
      spin_.slept(last_work - time);
      looking = false;
      continue;
    } else {
      looking = true;
    }
    if (time - last_look >= kLookEvery) {
      wait(0);
      last_look = time;
    }
  }
  end_everything();
}

/// While it spins it reads the clock less often than it looks: a call that comes meanwhile would wait for that.
bool RingThread::look_round() {
  const int looks = spin_.length() > Duration::zero() ? kLooksPerClockReading : 1;
  for (int look = 0; look < looks; ++look) {
    if (serve_awake()) return true;
    shm::spin_pause();
  }
  return false;
}

/// One round over the rings that are awake; true when one had work.
bool RingThread::serve_awake() {
  bool any = false;
  for (std::size_t i = 0; i < awake_.size();) {
    const std::uint64_t serial = awake_[i];
    const Attachment::Round round = rings_.at(serial).attachment->serve(runtime_);
    any = any || round.any;
    if (round.refusal.empty()) {
      ++i;
    } else {
      end_ring(serial, round.refusal);  // takes it out of awake_
    }
  }
  return any;
}

/// Puts every ring to sleep; false when one has work after all.
bool RingThread::park_awake() {
  while (!awake_.empty()) {
    Ring& ring = rings_.at(awake_.back());
    if (!ring.attachment->worker_end().park()) return false;
    ring.awake = false;
    awake_.pop_back();
  }
  return true;
}

int RingThread::patience_ms() const {
  // In a drain nobody parks, so no doorbell tells that there is room for the next part of an answer.
  if (draining_ && sends_parts()) return kDrainLookMs;
  SteadyTime until = budget_->anybody_waits() ? budget_->next_due() : SteadyTime::max();
  if (!handshakes_.empty()) until = std::min(until, handshakes_.begin()->second.deadline);
  if (until == SteadyTime::max()) return -1;
  const Duration left = until - now();
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::clamp<std::int64_t>(ms, 0, 60'000));
}

void RingThread::wait(int timeout_ms) {
  std::array<epoll_event, 64> events{};
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ms);
  for (int i = 0; i < count; ++i) {
    const std::uint64_t token = events.at(static_cast<std::size_t>(i)).data.u64;
    handle(static_cast<Watch>(token & ((1U << kWatchBits) - 1U)), token >> kWatchBits);
  }
  if (!handshakes_.empty()) expire_handshakes();
  if (budget_->anybody_waits()) budget_->expire(now());
  if (draining_ && sends_parts()) finish_parts();
}

bool RingThread::sends_parts() const {
  return std::any_of(rings_.begin(), rings_.end(),
                     [](const auto& ring) { return ring.second.attachment->worker_end().sends_parts(); });
}

void RingThread::finish_parts() {
  std::vector<std::uint64_t> serials;
  for (auto& [serial, ring] : rings_) {
    ring.attachment->worker_end().send_parts();
    serials.push_back(serial);
  }
  for (const std::uint64_t serial : serials) look_at(serial);
}

void RingThread::handle(Watch what, std::uint64_t serial) {
  switch (what) {
    case Watch::kMailbox:
      return read_mail();
    case Watch::kHandshake:
      return step_handshake(serial);
    case Watch::kSocket:
      return read_socket(serial);
    case Watch::kDoorbell:
      return wake_ring(serial);
    case Watch::kChannel:
      return adopt_channel(serial);
  }
}

void RingThread::read_mail() {
  RingMailbox::Mail mail = mailbox_->collect();
  for (const auto& what : mail.run) what();
  stopping_ = stopping_ || mail.stop;
  for (Newcomer& newcomer : mail.newcomers) greet(std::move(newcomer));
  if (mail.drained) {
    draining_ = true;
    drained_ = std::move(mail.drained);
    // What is queued stays there, untaken; so does a body in parts of which the last has not come.
    awake_.clear();
    std::vector<std::uint64_t> serials;
    for (auto& [serial, ring] : rings_) {
      ring.awake = false;
      ring.attachment->start_draining();
      // Its client knows by this that nothing more is taken, and what was not goes elsewhere at once. What was taken is
      // answered here, calls over the channel too: they are served until the client hangs up in its turn.
      if (ring.hangs_up) ::shutdown(ring.socket.get(), SHUT_WR);
      serials.push_back(serial);
    }
    for (const std::uint64_t serial : serials) look_at(serial);
    report_drained();
  }
  for (const std::uint64_t serial : mail.look_at) look_at(serial);
}

void RingThread::greet(Newcomer newcomer) {
  if (handshakes_.size() >= kMaxHandshakes) return refuse(newcomer, "too_many_handshakes");
  const int fd = newcomer.connection.get();
  const int flags = ::fcntl(fd, F_GETFL);
  const std::uint64_t serial = next_serial_++;
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
      !watch(fd, EPOLLIN | EPOLLRDHUP, Watch::kHandshake, serial)) {
    return refuse(newcomer, "no_descriptors");
  }
  handshakes_.emplace(serial, Handshake{std::move(newcomer), now() + options_.handshake_timeout});
}

void RingThread::step_handshake(std::uint64_t serial) {
  const auto at = handshakes_.find(serial);
  if (at == handshakes_.end()) return;
  const HandshakeLimits limits{options_,  reserve_,
                               draining_, rings_.size() >= options_.max_rings,
                               budget_,   [mailbox = mailbox_, serial] { mailbox->look_at(serial); }};
  HandshakeStep step = take_handshake(at->second.peer.connection.get(), limits);
  if (step.kind == HandshakeStep::Kind::kWaiting) return;
  Newcomer peer = std::move(at->second.peer);
  handshakes_.erase(at);
  unwatch(peer.connection.get());
  if (step.kind == HandshakeStep::Kind::kRefused) refuse(peer, step.refusal);
  if (step.kind == HandshakeStep::Kind::kAttached) attach(serial, std::move(peer), std::move(step.attached));
}

void RingThread::attach(std::uint64_t serial, Newcomer peer, Attached attached) {
  const AttachmentTerms terms{attached.ring, attached.generation, attached.features, peer.pid, peer.uid};
  Ring& ring = rings_[serial];
  ring.socket = std::move(peer.connection);
  ring.channel = std::move(attached.channel);
  ring.hangs_up = attached.hangs_up;
  ring.attachment = std::make_shared<Attachment>(terms, std::move(attached.end), kKeptBodies * options_.max_body_bytes,
                                                 [mailbox = mailbox_, serial] { mailbox->look_at(serial); });
  ring.attachment->worker_end().on_room(
      [weak = std::weak_ptr(ring.attachment)](std::uint32_t slot, std::uint64_t sequence) {
        if (const auto attachment = weak.lock()) attachment->stream_has_room(slot, sequence);
      });
  const int doorbell = ring.attachment->worker_end().doorbell_fd();
  if (!watch(ring.socket.get(), EPOLLIN | EPOLLRDHUP, Watch::kSocket, serial) ||
      !watch(doorbell, EPOLLIN | EPOLLET, Watch::kDoorbell, serial) ||
      !watch(ring.channel.get(), EPOLLIN | EPOLLRDHUP, Watch::kChannel, serial)) {
    registry_.count_refusal("no_descriptors");
    send_refusal(ring.socket.get(), "no_descriptors");
    return end_ring(serial, {});
  }
  // Before the reply: the client may use what it is told at once.
  registry_.add(ring.attachment);
  ring.awake = true;
  awake_.push_back(serial);
  const Grant grant{terms.ring,
                    terms.generation,
                    terms.features,
                    options_.max_body_bytes,
                    ring.attachment->worker_end().response_fd(),
                    doorbell,
                    attached.client_channel.get()};
  if (!send_grant(ring.socket.get(), grant).ok()) return end_ring(serial, {});
  // After the reply, and only for a ring that may come: the spare segment is one of those that the budget allows.
  if (rings_.size() < options_.max_rings) reserve_.refill();
  log::info("ring attached attachment={} peer_pid={} peer_uid={} features={} client={}", serial, terms.peer_pid,
            terms.peer_uid, terms.features, attached.client);
}

void RingThread::refuse(const Newcomer& peer, std::string_view refusal) {
  // Counted first: who has read its refusal finds it in the counters.
  registry_.count_refusal(refusal);
  log::warn("ring refused reason={} peer_pid={} peer_uid={}", refusal, peer.pid, peer.uid);
  send_refusal(peer.connection.get(), refusal);
}

void RingThread::expire_handshakes() {
  const SteadyTime time = now();
  while (!handshakes_.empty() && handshakes_.begin()->second.deadline <= time) {
    const Newcomer peer = std::move(handshakes_.begin()->second.peer);
    handshakes_.erase(handshakes_.begin());
    unwatch(peer.connection.get());
    refuse(peer, "handshake_timeout");
  }
}

void RingThread::wake_ring(std::uint64_t serial) {
  const auto at = rings_.find(serial);
  if (at == rings_.end() || at->second.awake || draining_) return;
  registry_.count_doorbell();
  at->second.attachment->worker_end().unpark();
  at->second.awake = true;
  awake_.push_back(serial);
}

void RingThread::look_at(std::uint64_t serial) {
  const auto at = rings_.find(serial);
  if (at == rings_.end()) return;
  Attachment& attachment = *at->second.attachment;
  attachment.worker_end().admit_parts();
  if (const std::string_view refusal = attachment.refusal(); !refusal.empty()) {
    end_ring(serial, refusal);
  } else if (draining_ && !at->second.hangs_up && attachment.idle()) {
    end_ring(serial, {});
  }
}

void RingThread::read_socket(std::uint64_t serial) {
  const auto at = rings_.find(serial);
  if (at == rings_.end()) return;
  auto received = receive_message(at->second.socket.get(), 1);
  if (received.ok() && !received->end_of_file) return end_ring(serial, "unexpected_message");
  if (received.ok()) return end_ring(serial, {});
  if (received.error().code == Code::kPeerLied) return end_ring(serial, "unexpected_message");
  if (received.error().code != Code::kFull) end_ring(serial, {});
}

/// The client speaks on its channel for the first time: from here on it is the gRPC server's. Or it has closed it.
void RingThread::adopt_channel(std::uint64_t serial) {
  const auto at = rings_.find(serial);
  if (at == rings_.end() || at->second.channel_adopted) return;
  Ring& ring = at->second;
  unwatch(ring.channel.get());
  char byte = 0;
  if (::recv(ring.channel.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) {
    ring.channel.reset();
    ring.channel_adopted = true;
    return;
  }
  UniqueFd duplicate(::fcntl(ring.channel.get(), F_DUPFD_CLOEXEC, 0));
  UniqueFd connection = std::exchange(ring.channel, std::move(duplicate));
  ring.channel_adopted = true;
  adopt_channel_(std::move(connection));
}

void RingThread::end_ring(std::uint64_t serial, std::string_view refusal) {
  const auto at = rings_.find(serial);
  if (at == rings_.end()) return;
  // The name may live in memory that end() gives back.
  const std::string reason(refusal);
  Ring ring = std::move(at->second);
  rings_.erase(at);
  std::erase(awake_, serial);
  const AttachmentTerms terms = ring.attachment->terms();
  registry_.remove(terms.ring);
  unwatch(ring.socket.get());
  unwatch(ring.attachment->worker_end().doorbell_fd());
  if (!ring.channel_adopted) unwatch(ring.channel.get());
  // In a drain gRPC may still have calls of this channel to answer, and says goodbye itself; but not to a client that
  // has had the last word.
  const bool in_use = draining_ && !ring.hangs_up && reason.empty();
  if (ring.channel && !in_use) ::shutdown(ring.channel.get(), SHUT_RDWR);
  ring.attachment->end();
  if (reason.empty()) {
    log::info("ring detached attachment={} peer_pid={}", serial, terms.peer_pid);
  } else {
    registry_.count_refusal(reason);
    log::warn("ring ended, its client broke the protocol reason={} attachment={} peer_pid={} peer_uid={}", reason,
              serial, terms.peer_pid, terms.peer_uid);
  }
  report_drained();
}

void RingThread::report_drained() {
  if (!draining_ || !rings_.empty() || !drained_) return;
  std::exchange(drained_, nullptr)();
}

void RingThread::end_everything() {
  handshakes_.clear();
  draining_ = false;  // no call of theirs is waited for any more
  while (!rings_.empty()) end_ring(rings_.begin()->first, {});
  if (drained_) std::exchange(drained_, nullptr)();
}

bool RingThread::watch(int fd, std::uint32_t events, Watch what, std::uint64_t serial) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = serial << kWatchBits | static_cast<std::uint64_t>(what);
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

void RingThread::unwatch(int fd) {
  // A descriptor that a child holds between fork and exec would stay watched after our close.
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

}  // namespace ringside::worker
