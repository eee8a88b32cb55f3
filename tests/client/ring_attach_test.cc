// Attaching to a ring door that is shut, slow or a liar, and calls to a worker that writes nonsense into its segment.

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <thread>

#include "base/unix_socket.h"
#include "client/cpp/transport.h"
#include "ringside/ring/v1/ring.pb.h"
#include "shm/futex.h"
#include "shm/layout.h"
#include "shm/segment.h"
#include "shm/segment_header.h"

namespace ringside {
namespace {

constexpr std::uint64_t kRing = 0xABCDEF;

/// What answers at ring.sock: a function of each connection, on a thread of its own. The function's result keeps what
/// shall stay open.
class FakeDoor {
 public:
  using Answer = std::function<std::shared_ptr<void>(UniqueFd connection)>;

  explicit FakeDoor(Answer answer) {
    char pattern[] = "/tmp/fake-door-XXXXXX";
    dir_ = ::mkdtemp(pattern);
    listener_ = std::move(listen_at(dir_ + "/ring.sock", SocketKind::kSeqPacket)).value();
    std::tie(stop_, stop_seen_) = std::move(*socket_pair(SocketKind::kStream, true));
    thread_ = std::thread([this, answer = std::move(answer)] {
      pollfd watched[] = {{listener_.get(), POLLIN, 0}, {stop_seen_.get(), POLLIN, 0}};
      while (::poll(watched, std::size(watched), -1) >= 0 && watched[1].revents == 0) {
        UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        ++connections;
        kept_.push_back(answer(std::move(connection)));
      }
    });
  }
  ~FakeDoor() {
    stop_.reset();
    thread_.join();
    std::filesystem::remove_all(dir_);
  }
  FakeDoor(const FakeDoor&) = delete;
  FakeDoor& operator=(const FakeDoor&) = delete;

  [[nodiscard]] ClientOptions options() const {
    ClientOptions options;
    options.runtime_dir = dir_;
    return options;
  }
  std::atomic<int> connections{0};

 private:
  std::string dir_;
  UniqueFd listener_;
  UniqueFd stop_;
  UniqueFd stop_seen_;
  std::vector<std::shared_ptr<void>> kept_;
  std::thread thread_;
};

std::shared_ptr<void> keep(UniqueFd connection) { return std::make_shared<UniqueFd>(std::move(connection)); }

FakeDoor::Answer say(const std::string& bytes) {
  return [bytes](UniqueFd connection) {
    EXPECT_TRUE(receive_message(connection.get(), 4096).ok());
    EXPECT_TRUE(send_message(connection.get(), bytes).ok());
    return keep(std::move(connection));
  };
}

std::string refusal(const std::string& name) {
  ring::v1::AttachReply reply;
  reply.set_version(1);
  reply.set_refusal(name);
  reply.set_message("do this");
  return reply.SerializeAsString();
}

Code code_of(const FakeDoor& door, bool handles = false) {
  const auto transport = connect_ring(door.options(), handles);
  EXPECT_FALSE(transport.ok());
  return transport.ok() ? Code::kSystem : transport.error().code;
}

TEST(RingConnect, finds_no_door) {
  ClientOptions options;
  options.runtime_dir = "/tmp/there-is-no-such-folder";
  const auto transport = connect_ring(options, false);
  ASSERT_FALSE(transport.ok());
  EXPECT_EQ(transport.error().code, Code::kUnavailable);
}

TEST(RingConnect, tells_refusals_for_now_from_refusals_for_good) {
  EXPECT_EQ(code_of(FakeDoor(say(refusal("too_many_rings")))), Code::kUnavailable);
  EXPECT_EQ(code_of(FakeDoor(say(refusal("no_common_feature"))), true), Code::kUnavailable);
  EXPECT_EQ(code_of(FakeDoor(say(refusal("wrong_seals")))), Code::kDenied);
}

TEST(RingConnect, tries_another_worker_when_one_is_going_away) {
  std::atomic<int> asked{0};
  const FakeDoor door([&asked](UniqueFd connection) {
    ++asked;
    return say(refusal(asked < 3 ? "draining" : "wrong_seals"))(std::move(connection));
  });
  EXPECT_EQ(code_of(door), Code::kDenied) << "the word of the third counts";
  EXPECT_EQ(asked, 3);
}

TEST(RingConnect, believes_no_nonsense) {
  EXPECT_EQ(code_of(FakeDoor(say("\xff\xff"))), Code::kPeerLied);
  ring::v1::AttachReply without_descriptors;
  without_descriptors.set_version(1);
  without_descriptors.set_features(1);
  EXPECT_EQ(code_of(FakeDoor(say(without_descriptors.SerializeAsString()))), Code::kPeerLied);
}

TEST(RingConnect, gives_up_on_a_door_that_says_nothing) {
  const FakeDoor door(keep);
  ClientOptions options = door.options();
  options.connect_timeout = std::chrono::milliseconds(50);
  const auto transport = connect_ring(options, false);
  ASSERT_FALSE(transport.ok());
  EXPECT_EQ(transport.error().code, Code::kUnavailable);
}

TEST(RingConnect, tries_again_when_the_worker_goes_away_meanwhile) {
  const FakeDoor door([](const UniqueFd& connection) {
    EXPECT_TRUE(receive_message(connection.get(), 4096).ok());
    return nullptr;
  });
  EXPECT_EQ(code_of(door), Code::kUnavailable);
  EXPECT_EQ(door.connections, 8);
}

/// A worker's end whose writer is a test.
struct LyingWorker {
  shm::Segment segment = std::move(shm::Segment::create(shm::kMinSegmentBytes)).value();
  std::optional<shm::Segment> request;
  UniqueFd connection;
  UniqueFd doorbell{::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)};
  UniqueFd ear{::epoll_create1(EPOLL_CLOEXEC)};
  UniqueFd channel;
  std::atomic<bool> leaving{false};
  std::thread liar;

  LyingWorker() {
    epoll_event event{.events = EPOLLIN | EPOLLET, .data = {}};
    EXPECT_EQ(::epoll_ctl(ear.get(), EPOLL_CTL_ADD, doorbell.get(), &event), 0);
    EXPECT_TRUE(hears_the_doorbell()) << "it is handed out rung";
  }
  [[nodiscard]] bool hears_the_doorbell() const {
    epoll_event event{};
    return ::epoll_wait(ear.get(), &event, 1, 30'000) == 1;
  }
  [[nodiscard]] shm::ResponseSegment& response() const {
    return *reinterpret_cast<shm::ResponseSegment*>(segment.data());
  }
  /// A FINAL completion of the call that was published first.
  [[nodiscard]] shm::Completion first_call() const {
    const auto& theirs = *reinterpret_cast<const shm::RequestSegment*>(request->data());
    shm::Completion completion{};
    completion.slot = theirs.submissions[0];
    completion.sequence = theirs.slots[completion.slot].sequence.load();
    completion.flags = shm::kCompletionFinal;
    completion.status = 200;
    return completion;
  }
  void complete(const shm::Completion& completion) const {
    response().completions[0] = completion;
    response().completion_tail.value.store(1);
    shm::futex_wake(response().completion_tail.value);
  }
  ~LyingWorker() {
    leaving = true;
    const std::uint64_t one = 1;
    EXPECT_EQ(::write(doorbell.get(), &one, sizeof one), 8);
    liar.join();
  }
};

/// Attaches like a worker; once the doorbell rings, `lie` is told.
FakeDoor::Answer attach_and(std::function<void(LyingWorker&)> lie, std::uint32_t generation_told = 1) {
  return [lie = std::move(lie), generation_told](UniqueFd connection) -> std::shared_ptr<void> {
    auto asked = std::move(receive_message(connection.get(), 4096)).value();
    auto worker = std::make_shared<LyingWorker>();
    std::string_view reason;
    worker->request = std::move(shm::Segment::adopt(std::move(asked.descriptors.at(0)), reason)).value();
    worker->response().header = shm::make_header(shm::Side::kWorker, worker->segment.size(), 1, 1);
    worker->response().park.value.store(1);
    auto [ours, theirs] = std::move(*socket_pair(SocketKind::kStream, true));
    ring::v1::AttachReply reply;
    reply.set_version(1);
    reply.set_features(1);
    reply.set_ring(kRing);
    reply.set_generation(generation_told);
    reply.set_max_body_bytes(1000);
    const int descriptors[] = {worker->segment.fd(), worker->doorbell.get(), theirs.get()};
    EXPECT_TRUE(send_message(connection.get(), reply.SerializeAsString(), descriptors).ok());
    worker->connection = std::move(connection);
    worker->channel = std::move(ours);
    worker->liar = std::thread([worker = worker.get(), lie] {
      EXPECT_TRUE(worker->hears_the_doorbell());
      if (!worker->leaving) lie(*worker);
    });
    return worker;
  };
}

Request a_request() {
  Request request;
  request.method = "POST";
  request.body = "{}";
  request.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  return request;
}

Code call_and_fail(const FakeDoor& door) {
  auto transport = connect_ring(door.options(), false);
  EXPECT_TRUE(transport.ok());
  if (!transport.ok()) return Code::kSystem;
  const Outcome outcome = (*transport)->call(a_request(), nullptr);
  EXPECT_FALSE(outcome.answer.ok());
  if (!outcome.answer.ok() && outcome.answer.error().code == Code::kPeerLied) {
    EXPECT_FALSE((*transport)->usable()) << "a worker that lied is asked no more";
    EXPECT_TRUE((*transport)->call(a_request(), nullptr).unsent.has_value());
  }
  return outcome.answer.ok() ? Code::kSystem : outcome.answer.error().code;
}

TEST(LyingWorker, attached_under_another_generation_is_not_believed) {
  const FakeDoor door(attach_and([](LyingWorker&) {}, 2));
  EXPECT_EQ(code_of(door), Code::kPeerLied);
}

TEST(LyingWorker, that_completes_a_slot_out_of_bounds_ends_every_call) {
  const FakeDoor door(attach_and([](LyingWorker& worker) {
    shm::Completion completion = worker.first_call();
    completion.slot = 5000;
    worker.complete(completion);
  }));
  EXPECT_EQ(call_and_fail(door), Code::kPeerLied);
}

TEST(LyingWorker, whose_answer_has_no_readable_header_is_asked_no_more) {
  const FakeDoor door(attach_and([](LyingWorker& worker) {
    shm::Completion completion = worker.first_call();
    completion.header_bytes = 4;
    completion.block_count = 1;
    std::memset(worker.segment.data() + shm::pool_offset(shm::Side::kWorker), 0xFF, 4);
    worker.complete(completion);
  }));
  EXPECT_EQ(call_and_fail(door), Code::kPeerLied);
}

TEST(LyingWorker, that_says_more_after_its_reply_is_gone) {
  const FakeDoor door(
      attach_and([](LyingWorker& worker) { EXPECT_TRUE(send_message(worker.connection.get(), "psst").ok()); }));
  EXPECT_EQ(call_and_fail(door), Code::kUnavailable);
}

TEST(LyingWorker, whose_inline_answer_nobody_can_fetch_loses_it_only) {
  const FakeDoor door(attach_and([](LyingWorker& worker) {
    worker.channel.reset();
    shm::Completion completion = worker.first_call();
    completion.flags |= shm::kCompletionInline;
    worker.complete(completion);
  }));
  EXPECT_EQ(call_and_fail(door), Code::kUnavailable);
}

}  // namespace
}  // namespace ringside
