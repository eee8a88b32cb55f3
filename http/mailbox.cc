#include "http/mailbox.h"

#include <boost/asio/post.hpp>
#include <utility>

#include "base/backlog.h"
#include "http/connection.h"

namespace ringside::http {
namespace {

class MailboxResponder final : public Responder {
 public:
  MailboxResponder(std::shared_ptr<Mailbox> mailbox, std::uint64_t request)
      : mailbox_(std::move(mailbox)), request_(request) {}
  ~MailboxResponder() override { push(AnswerPart::Kind::kDropped, {}); }
  MailboxResponder(const MailboxResponder&) = delete;
  MailboxResponder& operator=(const MailboxResponder&) = delete;

  void respond(mcp::Response response) override { push(AnswerPart::Kind::kWhole, std::move(response)); }
  void begin(int status, mcp::Headers headers) override {
    push(AnswerPart::Kind::kBegin, {status, std::move(headers), {}});
  }
  bool write(std::string bytes) override { return push(AnswerPart::Kind::kData, {200, {}, std::move(bytes)}); }
  void end() override { push(AnswerPart::Kind::kEnd, {}); }
  void on_gone(std::function<void()> callback) override { mailbox_->on_gone(request_, std::move(callback)); }
  void on_room(std::function<void()> callback) override { mailbox_->on_room(request_, std::move(callback)); }

 private:
  bool push(AnswerPart::Kind kind, mcp::Response response) {
    return mailbox_->push({kind, request_, std::move(response)});
  }

  std::shared_ptr<Mailbox> mailbox_;
  std::uint64_t request_;
};

}  // namespace

std::shared_ptr<Responder> Mailbox::responder(std::uint64_t request) {
  return std::make_shared<MailboxResponder>(shared_from_this(), request);
}

bool Mailbox::push(AnswerPart part) {
  bool has_room = true;
  {
    const std::lock_guard lock(mutex_);
    if (connection_ == nullptr || part.request <= completed_) return true;
    if (part.kind == AnswerPart::Kind::kData) unwritten_ += part.response.body.size();
    has_room = unwritten_ < kMuchUnread;
    owes_room_ = owes_room_ || !has_room;
    parts_.push_back(std::move(part));
    // While the mailbox is open the loop lives, and it is closed under this lock: posting under it is safe.
    if (!io_->get_executor().running_in_this_thread()) {
      if (!std::exchange(delivery_posted_, true)) {
        boost::asio::post(*io_, [self = shared_from_this()] { self->deliver(); });
      }
      return has_room;
    }
  }
  deliver();
  return has_room;
}

void Mailbox::written() {
  std::function<void()> room;
  {
    const std::lock_guard lock(mutex_);
    unwritten_ = 0;
    for (const auto& part : parts_) {
      if (part.kind == AnswerPart::Kind::kData) unwritten_ += part.response.body.size();
    }
    if (unwritten_ >= kMuchUnread || !std::exchange(owes_room_, false)) return;
    room = room_;
  }
  if (room) room();
}

void Mailbox::on_room(std::uint64_t request, std::function<void()> callback) {
  const std::lock_guard lock(mutex_);
  if (request > completed_ && connection_ != nullptr) room_.swap(callback);
}

void Mailbox::deliver() {
  const auto self = shared_from_this();
  std::vector<AnswerPart> parts;
  {
    const std::lock_guard lock(mutex_);
    delivery_posted_ = false;
    parts.swap(parts_);
  }
  for (auto& part : parts) {
    // Taking a part may close the connection, and only this thread does so.
    Connection* connection = nullptr;
    {
      const std::lock_guard lock(mutex_);
      connection = connection_;
    }
    if (connection == nullptr) return;
    connection->take(std::move(part));
  }
}

void Mailbox::on_gone(std::uint64_t request, std::function<void()> callback) {
  {
    const std::lock_guard lock(mutex_);
    if (request <= completed_) return;
    if (connection_ != nullptr) {
      gone_.swap(callback);  // an earlier one goes away outside the lock
      return;
    }
  }
  if (callback) callback();
}

void Mailbox::complete(std::uint64_t request) {
  std::function<void()> unused;
  std::function<void()> unused_too;
  const std::lock_guard lock(mutex_);
  completed_ = request;
  unwritten_ = 0;
  owes_room_ = false;
  unused.swap(gone_);
  unused_too.swap(room_);
}

void Mailbox::close() {
  std::function<void()> gone;
  std::function<void()> room;
  bool owes_room = false;
  std::vector<AnswerPart> parts;
  {
    const std::lock_guard lock(mutex_);
    connection_ = nullptr;
    gone.swap(gone_);
    room.swap(room_);
    owes_room = std::exchange(owes_room_, false);
    parts.swap(parts_);
  }
  if (gone) gone();
  // What is written from now on goes nowhere, and need not wait for a reader.
  if (room && owes_room) room();
}

}  // namespace ringside::http
