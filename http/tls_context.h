#pragma once
// What a connection needs of http/tls.h. Private to the server.

#include <boost/asio/ssl/context.hpp>

#include "http/tls.h"

namespace ringside::http {

struct Tls::Context {
  boost::asio::ssl::context ssl{boost::asio::ssl::context::tls_server};
};

}  // namespace ringside::http
