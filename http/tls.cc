#include "http/tls.h"

#include <openssl/ssl.h>
#include <sys/stat.h>

#include <utility>

#include "base/log.h"
#include "http/tls_context.h"

namespace ringside::http {
namespace {

using boost::system::error_code;

/// Unlike before whenever the file was replaced or written.
std::string look_of(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return "missing";
  return std::to_string(info.st_ino) + " " + std::to_string(info.st_size) + " " + std::to_string(info.st_mtim.tv_sec) +
         "." + std::to_string(info.st_mtim.tv_nsec) + ";";
}

Result<std::shared_ptr<Tls::Context>> load(const TlsFiles& files) {
  auto context = std::make_shared<Tls::Context>();
  SSL_CTX* const raw = context->ssl.native_handle();
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  const auto refuse = [](const char* what, const std::string& path, const error_code& error) {
    log::error("{} path={} error={}", what, path, error.message());
    return Error{Code::kInvalid, 0, "the certificate or its key cannot be used"};
  };
  error_code error;
  context->ssl.use_certificate_chain_file(files.cert, error);
  if (error) return refuse("the certificate cannot be used", files.cert, error);
  context->ssl.use_private_key_file(files.key, boost::asio::ssl::context::pem, error);
  if (error) return refuse("the key cannot be used with its certificate", files.key, error);
  return context;
}

}  // namespace

Result<std::shared_ptr<Tls>> Tls::open(TlsFiles files) {
  std::shared_ptr<Tls> tls(new Tls(std::move(files)));
  tls->seen_ = look_of(tls->files_.cert) + look_of(tls->files_.key);
  tls->context_ = RS_TRY(load(tls->files_));
  return tls;
}

Tls::~Tls() = default;

bool Tls::look_again() {
  const std::string look = look_of(files_.cert) + look_of(files_.key);
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(seen_, look) == look) return false;
  }
  auto loaded = load(files_);
  if (!loaded.ok()) {
    log::warn("the certificate from before goes on being served");
    return false;
  }
  log::info("another certificate is served from now on path={}", files_.cert);
  const std::lock_guard lock(mutex_);
  context_ = std::move(loaded).value();
  return true;
}

std::shared_ptr<Tls::Context> Tls::current() const {
  const std::lock_guard lock(mutex_);
  return context_;
}

}  // namespace ringside::http
