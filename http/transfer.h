#pragma once
// One HTTP exchange on one curl easy handle: sets the request up, turns what curl reports into the calls of an
// Exchange, and says in our terms how it ended. Private to the client; every function runs on the client's thread.

#include <curl/curl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/client.h"

namespace ringside::http {

struct EasyDeleter {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
using EasyHandle = std::unique_ptr<CURL, EasyDeleter>;

class Transfer {
 public:
  Transfer(std::uint64_t id, ClientRequest request, std::shared_ptr<Exchange> exchange, std::size_t max_header_bytes)
      : id_(id), request_(std::move(request)), exchange_(std::move(exchange)), max_header_bytes_(max_header_bytes) {}
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  /// Sets every option on `easy`, which is fresh or reset. kInvalid when the request is no valid HTTP. The transfer
  /// must stay where it is until the handle is taken back: curl reads the body in place.
  Status prepare(EasyHandle easy);
  [[nodiscard]] EasyHandle take_easy() { return std::move(easy_); }

  [[nodiscard]] std::uint64_t id() const { return id_; }
  [[nodiscard]] CURL* easy() const { return easy_.get(); }
  [[nodiscard]] SteadyTime deadline() const { return request_.deadline; }
  [[nodiscard]] Exchange& exchange() const { return *exchange_; }
  /// The exchange takes data again. An error, as curl has it, when it had enough of what had waited: curl does not end
  /// such a transfer by itself.
  [[nodiscard]] CURLcode resume();
  /// How the exchange ended, given how curl says that it did.
  [[nodiscard]] Status outcome(CURLcode code) const;

 private:
  Status set_target();
  /// Proxy, certificates, and what is never connected to.
  Status set_access(std::string_view host);
  Status set_headers();
  void set_method();
  void set_callbacks();
  template <typename T>
  void set(CURLoption option, T value);

  std::size_t take_header(std::string_view line);
  std::size_t take_data(std::string_view bytes);
  void begin_block(std::string_view status_line);
  void add_field(std::string_view line);
  void end_block();
  /// False when the connection did not take the last byte of the request, which so can nowhere have run.
  [[nodiscard]] bool sent_whole() const;
  [[nodiscard]] bool goes_with_head() const { return request_.body.size() <= kMostWithHead; }
  /// Ends the exchange from inside a callback of curl; the reason is what outcome() will say.
  std::size_t give_up(Error reason);

  static std::size_t header_callback(char* bytes, std::size_t size, std::size_t count, void* self);
  static std::size_t data_callback(char* bytes, std::size_t size, std::size_t count, void* self);
  static curl_socket_t open_socket(void* self, curlsocktype purpose, curl_sockaddr* address);
  static std::size_t body_callback(char* into, std::size_t size, std::size_t count, void* self);
  static int body_seek_callback(void* self, curl_off_t offset, int origin);
  static int prerequest_callback(void* self, char*, char*, int, int);

  // What libcurl sends in one piece with the head.
  static constexpr std::size_t kMostWithHead = std::size_t{64} * 1024;

  struct ListDeleter {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };

  std::uint64_t id_;
  ClientRequest request_;
  std::shared_ptr<Exchange> exchange_;
  std::size_t max_header_bytes_;
  EasyHandle easy_;
  std::unique_ptr<curl_slist, ListDeleter> header_list_;

  int times_sent_ = 0;
  bool arrived_ = false;       // a try before this one was sent whole
  long sent_before_ = 0;       // bytes of heads, and of bodies that go with them, by the tries before this one
  std::size_t body_at_ = 0;    // where curl reads on, in a body that does not go with the head
  std::size_t body_read_ = 0;  // of it, at the most, in this try
  std::size_t header_bytes_ = 0;
  int status_ = 0;
  mcp::Headers headers_;
  bool has_head_ = false;
  bool blocked_ = false;  // an address of the host's is never connected to
  bool waits_ = false;    // on_data said so
  bool paused_ = false;   // and curl has been told
  Status gave_up_;
};

}  // namespace ringside::http
