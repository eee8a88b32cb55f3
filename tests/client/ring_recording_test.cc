// Workers that were written for what the wire was once: what they wrote, byte by byte, and what a client of today must
// make of it. tests/client/recordings/ has one file for each version of the layout and each feature. A recording is
// never changed: where one fails, a new client would fail at an old worker in the field. tests/worker has the reverse.

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/unix_socket.h"
#include "client/cpp/stream_buffer.h"
#include "client/cpp/transport.h"
#include "contextforge/mcp/runtime/v1/runtime.pb.h"
#include "ringside/ring/v1/ring.pb.h"
#include "shm/futex.h"
#include "shm/layout.h"
#include "shm/run.h"
#include "shm/segment.h"
#include "shm/segment_header.h"
#include "tests/support/process.h"
#include "tests/support/recording.h"

namespace ringside {
namespace {

using test::RecordedLine;

constexpr std::uint64_t kMiB = 1U << 20U;
constexpr int kPatienceMs = 30'000;

SteadyTime patience() { return std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs); }

bool readable(int fd) {
  pollfd watched{fd, POLLIN, 0};
  return ::poll(&watched, 1, kPatienceMs) == 1;
}

/// One attachment, as an old worker had it: its segment is written by the recording.
struct Attached {
  shm::Segment response = std::move(shm::Segment::create(shm::kMinSegmentBytes)).value();
  std::optional<shm::Segment> request;
  UniqueFd connection;
  UniqueFd doorbell{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  UniqueFd ear{::epoll_create1(EPOLL_CLOEXEC)};
  UniqueFd channel;
  std::uint32_t submission_head = 0;
  std::uint32_t completion_tail = 0;

  [[nodiscard]] shm::ResponseSegment& ours() const { return *reinterpret_cast<shm::ResponseSegment*>(response.data()); }
  [[nodiscard]] const shm::RequestSegment& theirs() const {
    return *reinterpret_cast<const shm::RequestSegment*>(request->data());
  }
};

/// A client of today, and the old worker that it meets, both on this thread.
class Replay {
 public:
  Replay() {
    options_.runtime_dir = folder_.path();
    options_.segment_bytes = kMiB;
  }
  ~Replay() {
    attached_ = {};
    if (connecting_.joinable()) connecting_.join();
  }
  Replay(const Replay&) = delete;
  Replay& operator=(const Replay&) = delete;

  void play(RecordedLine line) {
    const auto at = verbs().find(line.verb());
    ASSERT_NE(at, verbs().end()) << "a recording says '" << line.verb() << "'";
    (this->*at->second)(line);
  }

 private:
  using Play = void (Replay::*)(RecordedLine&);
  static const std::map<std::string, Play>& verbs();

  // The client.

  void connect(RecordedLine&) {
    connecting_ = std::thread([this] { transport_ = connect_ring(options_, false).value(); });
  }
  void attached(RecordedLine&) { connecting_.join(); }
  void call(RecordedLine& line) { start(line, &RecordedLine::bytes); }
  void call_filled(RecordedLine& line) { start(line, &RecordedLine::filled); }
  void start(RecordedLine& line, std::string (RecordedLine::*body)()) {
    auto& answer = answers_[line.number()];
    Request request;
    request.method = "POST";
    request.path = line.word();
    request.body = (line.*body)();
    request.deadline = patience();
    pending_.push_back(transport_->call_async(std::move(request), nullptr,
                                              [&answer](Outcome outcome) { answer.set_value(std::move(outcome)); }));
  }
  void stream(RecordedLine& line) {
    const auto buffer = std::make_shared<StreamBuffer>();
    streams_[line.number()] = buffer;
    Request request;
    request.method = "POST";
    request.path = line.word();
    request.body = line.bytes();
    request.stream = true;
    request.deadline = patience();
    pending_.push_back(transport_->stream(std::move(request), &buffer->trace, buffer));
  }
  void head(RecordedLine& line) {
    StreamBuffer& buffer = *streams_.at(line.number());
    ASSERT_TRUE(buffer.wait_for_head(patience()).value());
    EXPECT_EQ(static_cast<std::uint64_t>(buffer.head().status), line.named("status"));
  }
  void piece(RecordedLine& line) {
    StreamBuffer& buffer = *streams_.at(line.number());
    const auto came = buffer.read(patience());
    ASSERT_TRUE(came.ok() && came->has_value());
    EXPECT_EQ(**came, line.bytes());
  }
  void ended(RecordedLine& line) {
    const auto end = streams_.at(line.number())->read(patience());
    EXPECT_TRUE(end.ok() && !end->has_value());
  }
  void cut(RecordedLine& line) { expect_end(line, Code::kFull); }
  void broke_off(RecordedLine& line) { expect_end(line, Code::kUnavailable); }
  void expect_end(RecordedLine& line, Code code) {
    const auto end = streams_.at(line.number())->read(patience());
    ASSERT_FALSE(end.ok());
    EXPECT_EQ(end.error().code, code);
  }
  void heard(RecordedLine& line) { expect_answer(line, &RecordedLine::bytes); }
  void heard_filled(RecordedLine& line) { expect_answer(line, &RecordedLine::filled); }
  void expect_answer(RecordedLine& line, std::string (RecordedLine::*body)()) {
    const Outcome outcome = answers_.at(line.number()).get_future().get();
    ASSERT_TRUE(outcome.answer.ok()) << outcome.answer.error().message;
    EXPECT_EQ(static_cast<std::uint64_t>(outcome.answer->status), line.named("status"));
    line.expect("body");
    EXPECT_TRUE(outcome.answer->body == (line.*body)());
  }
  void lost(RecordedLine& line) {
    const Outcome outcome = answers_.at(line.number()).get_future().get();
    ASSERT_FALSE(outcome.answer.ok());
    EXPECT_EQ(outcome.answer.error().code, Code::kUnavailable);
  }
  void unusable(RecordedLine&) {
    EXPECT_TRUE(test::eventually([this] { return !transport_->usable(); }));
    pollfd nobody{listener_.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&nobody, 1, 0), 0) << "it does not attach again";
  }

  // The worker.

  void asked(RecordedLine& line) {
    ASSERT_TRUE(readable(listener_.get()));
    attached_.emplace();
    epoll_event event{.events = EPOLLIN | EPOLLET, .data = {}};
    ASSERT_EQ(::epoll_ctl(attached_->ear.get(), EPOLL_CTL_ADD, attached_->doorbell.get(), &event), 0);
    attached_->connection.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    auto received = receive_message(attached_->connection.get(), 4096).value();
    ring::v1::AttachRequest request;
    ASSERT_TRUE(request.ParseFromString(received.bytes));
    EXPECT_EQ(request.version(), line.named("version"));
    const std::uint64_t features = line.named("features");
    EXPECT_EQ(request.generation(), line.named("generation"));
    // Who comes for the first time may ask for more than the worker knows.
    EXPECT_EQ(request.features() & (request.generation() == 0 ? features : ~0U), features);
    ASSERT_EQ(received.descriptors.size(), 1U);
    std::string_view reason;
    attached_->request = shm::Segment::adopt(std::move(received.descriptors[0]), reason).value();
    attached_->submission_head = attached_->theirs().submission_tail.value.load();
    attached_->completion_tail = attached_->theirs().completion_head.value.load();
  }
  void reply(RecordedLine& line) {
    auto [ours, theirs] = std::move(*socket_pair(SocketKind::kStream, true));
    const std::array descriptors = {attached_->response.fd(), attached_->doorbell.get(), theirs.get()};
    ASSERT_TRUE(send_message(attached_->connection.get(), line.bytes(), descriptors).ok());
    attached_->channel = std::move(ours);
  }
  void write(RecordedLine& line) {
    const std::uint64_t offset = line.number(16);
    store(offset, line.bytes());
  }
  void fill(RecordedLine& line) {
    const std::uint64_t offset = line.number(16);
    store(offset, line.filled());
  }
  void store(std::uint64_t offset, const std::string& bytes) {
    ASSERT_LE(offset + bytes.size(), attached_->response.size());
    std::memcpy(attached_->response.data() + offset, bytes.data(), bytes.size());
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  void complete(RecordedLine& line) { complete_with(line.bytes()); }
  void complete_with(const std::string& bytes) {
    shm::ResponseSegment& ours = attached_->ours();
    ASSERT_EQ(bytes.size(), sizeof(shm::Completion));
    std::memcpy(&ours.completions[attached_->completion_tail % shm::kCompletions], bytes.data(), bytes.size());
    ours.completion_tail.value.store(++attached_->completion_tail);
    // Again until it is taken: this wake may come before the client sleeps, and is lost then.
    EXPECT_TRUE(test::eventually([this, &ours] {
      shm::futex_wake(ours.completion_tail.value);
      return attached_->theirs().completion_head.value.load() == attached_->completion_tail;
    }));
  }
  void doorbell(RecordedLine&) {
    epoll_event event{};
    ASSERT_EQ(::epoll_wait(attached_->ear.get(), &event, 1, kPatienceMs), 1);
  }
  void published(RecordedLine& line) {
    const shm::Slot& slot = next_slot(line);
    EXPECT_EQ(slot.flags.load(), line.named("flags"));
    expect_path(slot, line);
    line.expect("body");
    EXPECT_EQ(slot.total_bytes, slot.body_bytes);
    EXPECT_EQ(body_of(slot), line.bytes());
  }
  void published_to_stream(RecordedLine& line) {
    published(line);
    const shm::RequestSegment& theirs = attached_->theirs();
    const std::uint32_t last = attached_->submission_head - 1;
    EXPECT_TRUE(header_of(theirs.slots[theirs.submissions[last % shm::kSubmissions] % shm::kSlots]).stream());
  }
  /// How much goes in each part is the client's business.
  void published_in_parts(RecordedLine& line) {
    const shm::Slot* slot = &next_slot(line);
    expect_path(*slot, line);
    line.expect("of");
    const std::string body = line.filled();
    line.expect("send");
    const std::string send = line.bytes();
    std::string came = body_of(*slot);
    for (; slot->flags.load() == shm::kSlotMore; came += body_of(*slot)) {
      EXPECT_EQ(slot->total_bytes, body.size());
      complete_with(send);
      slot = &next_entry();
      if (testing::Test::HasFailure()) return;
      EXPECT_EQ(slot->header_bytes, 0U);
    }
    EXPECT_EQ(slot->flags.load(), 0U);
    EXPECT_TRUE(came == body);
  }
  const shm::Slot& next_slot(RecordedLine& line) {
    const std::uint64_t number = line.named("slot");
    const shm::Slot& slot = next_entry();
    EXPECT_EQ(&slot, &attached_->theirs().slots[number % shm::kSlots]);
    EXPECT_EQ(slot.sequence.load(), line.named("sequence"));
    return slot;
  }
  const shm::Slot& next_entry() {
    const shm::RequestSegment& theirs = attached_->theirs();
    std::uint32_t& head = attached_->submission_head;
    EXPECT_TRUE(test::eventually([&] { return theirs.submission_tail.value.load() != head; }));
    return theirs.slots[theirs.submissions[head++ % shm::kSubmissions] % shm::kSlots];
  }
  [[nodiscard]] const char* run_of(const shm::Slot& slot) const {
    return reinterpret_cast<const char*>(attached_->request->data()) + shm::pool_offset(shm::Side::kClient) +
           shm::block_offset(slot.first_block);
  }
  [[nodiscard]] std::string body_of(const shm::Slot& slot) const {
    return {run_of(slot) + shm::body_offset(slot.header_bytes), slot.body_bytes};
  }
  void expect_path(const shm::Slot& slot, RecordedLine& line) const {
    line.expect("path");
    EXPECT_EQ(header_of(slot).path(), line.word());
  }
  [[nodiscard]] contextforge::mcp::runtime::v1::McpRequest header_of(const shm::Slot& slot) const {
    contextforge::mcp::runtime::v1::McpRequest header;
    EXPECT_TRUE(header.ParseFromArray(run_of(slot), static_cast<int>(slot.header_bytes)));
    return header;
  }
  void holds(RecordedLine& line) {
    const std::uint64_t offset = line.number(16);
    const std::string bytes = line.bytes();
    EXPECT_TRUE(test::eventually(
        [&] { return std::memcmp(attached_->request->data() + offset, bytes.data(), bytes.size()) == 0; }));
  }
  void channel(RecordedLine& line) {
    const std::string wanted = line.bytes();
    std::string came(wanted.size(), '\0');
    ASSERT_TRUE(readable(attached_->channel.get()));
    ASSERT_EQ(::recv(attached_->channel.get(), came.data(), came.size(), MSG_WAITALL),
              static_cast<ssize_t>(came.size()));
    EXPECT_EQ(came, wanted);
  }
  void hang_up(RecordedLine&) {
    attached_->channel.reset();
    attached_->connection.reset();
  }

  test::TempDir folder_;
  ClientOptions options_;
  UniqueFd listener_ = std::move(listen_at(folder_.file("ring.sock"), SocketKind::kSeqPacket)).value();
  std::optional<Attached> attached_;
  std::map<std::uint64_t, std::promise<Outcome>> answers_;
  std::map<std::uint64_t, std::shared_ptr<StreamBuffer>> streams_;
  std::vector<std::shared_ptr<PendingCall>> pending_;
  std::shared_ptr<Transport> transport_;
  std::thread connecting_;
};

const std::map<std::string, Replay::Play>& Replay::verbs() {
  static const std::map<std::string, Play> all = {
      {"connect", &Replay::connect},     {"attached", &Replay::attached},
      {"call", &Replay::call},           {"call-filled", &Replay::call_filled},
      {"heard", &Replay::heard},         {"heard-filled", &Replay::heard_filled},
      {"lost", &Replay::lost},           {"unusable", &Replay::unusable},
      {"asked", &Replay::asked},         {"reply", &Replay::reply},
      {"write", &Replay::write},         {"fill", &Replay::fill},
      {"complete", &Replay::complete},   {"doorbell", &Replay::doorbell},
      {"published", &Replay::published}, {"published-in-parts", &Replay::published_in_parts},
      {"holds", &Replay::holds},         {"channel", &Replay::channel},
      {"hang-up", &Replay::hang_up},     {"stream", &Replay::stream},
      {"head", &Replay::head},           {"piece", &Replay::piece},
      {"ended", &Replay::ended},         {"cut", &Replay::cut},
      {"broke-off", &Replay::broke_off}, {"published-to-stream", &Replay::published_to_stream},
  };
  return all;
}

std::string folder() { return test::source_dir() + "/tests/client/recordings/"; }

class WorkerRecording : public ::testing::TestWithParam<std::string> {};

TEST_P(WorkerRecording, is_understood_as_it_was) {
  Replay replay;
  test::replay(folder() + GetParam() + ".txt", [&](RecordedLine line) { replay.play(std::move(line)); });
}

INSTANTIATE_TEST_SUITE_P(Wire, WorkerRecording, ::testing::Values("v1-ring", "v1-again", "v1-parts", "v1-streams"),
                         [](const auto& each) { return each.param.substr(0, 2) + "_" + each.param.substr(3); });

TEST(WorkerRecordings, are_all_replayed) { EXPECT_EQ(test::recordings_in(folder()), 4U); }

}  // namespace
}  // namespace ringside
