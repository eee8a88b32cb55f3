// Prints the answer to a ping, through the fastest door that is open.
#include <cstdio>

#include "client/cpp/client.h"

int main(int argc, char** argv) {
  const auto client = ringside::Client::connect({.runtime_dir = argc > 1 ? argv[1] : "/run/ringside"});
  if (!client.ok()) {
    std::fprintf(stderr, "%s\n", std::string(client.error().message).c_str());
    return 1;
  }
  ringside::Request request;
  request.method = "POST";
  request.path = "/mcp";
  request.headers.set("content-type", "application/json");
  request.body = R"({"jsonrpc":"2.0","id":1,"method":"ping"})";
  const auto answer = (*client)->call(request);
  if (!answer.ok()) {
    std::fprintf(stderr, "%s\n", std::string(answer.error().message).c_str());
    return 1;
  }
  std::printf("%s\n", answer->body.c_str());
}
