#include "rpc/channel.h"

#include <grpc/impl/codegen/compression_types.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <grpcpp/support/channel_arguments.h>

#include <string_view>

#include "base/check.h"

namespace ringside::rpc {
namespace {

constexpr int kReconnectFirstMs = 20;
constexpr int kReconnectMostMs = 1000;
// How long one attempt may take. Long, since a connection waits in the listener's backlog while no worker is ready; an
// attempt that fails, fails at once.
constexpr int kConnectAttemptMs = 20'000;
constexpr unsigned kLookAtFilesEverySeconds = 1;

grpc::ChannelArguments channel_arguments(int max_message_bytes) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectFirstMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectAttemptMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectMostMs);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  arguments.SetCompressionAlgorithm(GRPC_COMPRESS_NONE);
  arguments.SetMaxReceiveMessageSize(max_message_bytes);
  arguments.SetMaxSendMessageSize(max_message_bytes);
  return arguments;
}

/// A target is a URI: what may not stand in a URI's path is percent-encoded (RFC 3986, 3.3).
std::string target_of(const std::string& path) {
  constexpr std::string_view kPlain = "-._~!$&'()*+,;=:@/";
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string target = "unix:";
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    const bool letter = (byte | 0x20U) >= 'a' && (byte | 0x20U) <= 'z';
    if (letter || (byte >= '0' && byte <= '9') || kPlain.find(c) != std::string_view::npos) {
      target += c;
    } else {
      target += '%';
      target += kHex[byte >> 4U];
      target += kHex[byte & 0xFU];
    }
  }
  return target;
}

std::shared_ptr<grpc::ServerCredentials> credentials_of(const MutualTls& tls) {
  namespace ssl = grpc::experimental;
  const auto files =
      std::make_shared<ssl::FileWatcherCertificateProvider>(tls.key, tls.cert, tls.client_ca, kLookAtFilesEverySeconds);
  ssl::TlsServerCredentialsOptions options(files);
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  return ssl::TlsServerCredentials(options);
}

}  // namespace

std::shared_ptr<grpc::Channel> channel_to_path(const std::string& path, int max_message_bytes) {
  return grpc::CreateCustomChannel(target_of(path), grpc::InsecureChannelCredentials(),
                                   channel_arguments(max_message_bytes));
}

std::shared_ptr<grpc::Channel> channel_on_fd(UniqueFd connection, int max_message_bytes) {
  return grpc::CreateCustomInsecureChannelFromFd("localhost", connection.release(),
                                                 channel_arguments(max_message_bytes));
}

Acceptor::Acceptor(grpc::ServerBuilder& builder, const std::optional<MutualTls>& tls)
    : acceptor_(builder.experimental().AddExternalConnectionAcceptor(
          grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
          tls ? credentials_of(*tls) : grpc::InsecureServerCredentials())) {}

void Acceptor::adopt(UniqueFd connection) {
  RS_CHECK(connection.valid(), "what is adopted is a connection");
  // Held while gRPC takes the connection, so that none is on its way once close() has returned.
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
  parameters.fd = connection.release();
  acceptor_->HandleNewConnection(&parameters);
}

void Acceptor::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
}

}  // namespace ringside::rpc
