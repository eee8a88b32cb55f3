// The contract's descriptor against its golden copy: clients of the fields below 100 are in the field.

#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "contextforge/mcp/runtime/v1/runtime.pb.h"
#include "grpc/health/v1/health.pb.h"

namespace ringside::test {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::ServiceDescriptor;

constexpr int kFirstAddition = 100;
/// Messages of ours in the contract's file; an old client never meets them.
constexpr const char* kAddedMessages[] = {"BodyHandle"};

std::string type_of(const FieldDescriptor& field) {
  if (field.is_map()) {
    const auto* entry = field.message_type();
    return "map<" + type_of(*entry->map_key()) + "," + type_of(*entry->map_value()) + ">";
  }
  const std::string name = field.message_type() != nullptr ? field.message_type()->full_name() : field.type_name();
  return field.is_repeated() ? "repeated " + name : name;
}

std::string describe(const Descriptor& message) {
  std::vector<const FieldDescriptor*> fields;
  for (int i = 0; i < message.field_count(); ++i) {
    if (message.field(i)->number() < kFirstAddition) fields.push_back(message.field(i));
  }
  std::sort(fields.begin(), fields.end(), [](const auto* a, const auto* b) { return a->number() < b->number(); });
  std::string text = "message " + message.full_name() + "\n";
  for (const auto* field : fields) {
    text += "  " + std::to_string(field->number()) + " " + field->name() + " " + type_of(*field) + "\n";
  }
  return text;
}

std::string describe(const ServiceDescriptor& service) {
  std::string text = "service " + service.full_name() + "\n";
  for (int i = 0; i < service.method_count(); ++i) {
    const auto& method = *service.method(i);
    text += "  " + method.name() + " " + (method.client_streaming() ? "stream " : "") +
            method.input_type()->full_name() + " -> " + (method.server_streaming() ? "stream " : "") +
            method.output_type()->full_name() + "\n";
  }
  return text;
}

std::string describe(const FileDescriptor& file) {
  std::string text;
  for (int i = 0; i < file.message_type_count(); ++i) {
    const auto& message = *file.message_type(i);
    if (std::find(std::begin(kAddedMessages), std::end(kAddedMessages), message.name()) == std::end(kAddedMessages)) {
      text += describe(message);
    }
  }
  for (int i = 0; i < file.service_count(); ++i) text += describe(*file.service(i));
  return text;
}

std::string golden() {
  const std::ifstream file(std::string(std::getenv("RINGSIDE_SOURCE_DIR")) + "/tests/proto/contract.golden");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(Contract, existing_fields_and_calls_are_as_clients_in_the_field_know_them) {
  const auto* file = contextforge::mcp::runtime::v1::McpRequest::descriptor()->file();
  EXPECT_EQ(file->syntax(), FileDescriptor::SYNTAX_PROTO3);
  EXPECT_EQ(describe(*file), golden());
}

TEST(Contract, bodies_may_be_handles_in_fields_that_an_old_client_never_notices) {
  using namespace contextforge::mcp::runtime::v1;  // NOLINT(google-build-using-namespace)
  for (const auto* message : {McpRequest::descriptor(), McpResponse::descriptor(), McpChunk::descriptor()}) {
    const auto* handle = message->FindFieldByNumber(kFirstAddition);
    ASSERT_NE(handle, nullptr) << message->full_name();
    EXPECT_EQ(handle->message_type(), BodyHandle::descriptor());
  }
}

TEST(Contract, health_is_the_standard_one_on_the_wire) {
  grpc::health::v1::HealthCheckRequest request;
  request.set_service("a");
  EXPECT_EQ(request.SerializeAsString(), std::string("\x0a\x01"
                                                     "a"));
  grpc::health::v1::HealthCheckResponse response;
  response.set_status(grpc::health::v1::HealthCheckResponse::SERVING);
  EXPECT_EQ(response.SerializeAsString(), std::string("\x08\x01"));
}

}  // namespace
}  // namespace ringside::test
