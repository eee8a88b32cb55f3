# find_package(ringside): ringside::client, the C++ client library. Its headers need nothing but C++20:
#   target_link_libraries(my_gateway PRIVATE ringside::client)   #include "client/cpp/client.h"
# RINGSIDE_PROTO_DIR is the folder of the contracts (.proto), to generate a client of your own from.
include("${CMAKE_CURRENT_LIST_DIR}/ringside-targets.cmake")
get_filename_component(RINGSIDE_PROTO_DIR "${CMAKE_CURRENT_LIST_DIR}/../../../share/ringside/proto" ABSOLUTE)
