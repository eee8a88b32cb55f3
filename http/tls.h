#pragma once
// The server's side of TLS: a certificate and its key from files, taken anew when these change, so that a renewed
// certificate is served without a restart. Connections that are open keep the one they began with. TLS 1.2 and newer.

#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"

namespace ringside::http {

/// PEM files; the certificate's may hold its chain.
struct TlsFiles {
  std::string cert;
  std::string key;
};

/// Thread-safe.
class Tls {
 public:
  /// kInvalid: a file cannot be read, or the two do not belong together; the log says which.
  static Result<std::shared_ptr<Tls>> open(TlsFiles files);
  ~Tls();
  Tls(const Tls&) = delete;
  Tls& operator=(const Tls&) = delete;

  /// Takes the files anew if they have changed since. What cannot be used is told once, and the old one stays. True:
  /// another certificate is served from now on.
  bool look_again();

  struct Context;  ///< http/tls_context.h
  [[nodiscard]] std::shared_ptr<Context> current() const;

 private:
  explicit Tls(TlsFiles files) : files_(std::move(files)) {}

  const TlsFiles files_;
  mutable std::mutex mutex_;
  std::string seen_;  ///< how the files were when they were last looked at
  std::shared_ptr<Context> context_;
};

}  // namespace ringside::http
