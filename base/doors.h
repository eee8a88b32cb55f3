#pragma once
// The doors of a worker: what they are called wherever a person names one (configuration, RINGSIDE_DOORS, --door,
// status), and which of them this build has. Link ringside_doors, which carries the build's choice.

#include <array>
#include <string_view>

#if !defined(RINGSIDE_DOOR_RING) || !defined(RINGSIDE_DOOR_HANDLE) || !defined(RINGSIDE_DOOR_GRPC) || \
    !defined(RINGSIDE_DOOR_HTTP)
#error "link ringside_doors, which says which doors this build has"
#endif

namespace ringside {

inline constexpr bool kDoorRingBuilt = RINGSIDE_DOOR_RING != 0;
inline constexpr bool kDoorHandleBuilt = RINGSIDE_DOOR_HANDLE != 0;
inline constexpr bool kDoorGrpcBuilt = RINGSIDE_DOOR_GRPC != 0;
inline constexpr bool kDoorHttpBuilt = RINGSIDE_DOOR_HTTP != 0;

struct DoorName {
  std::string_view name;
  std::string_view build_option;  ///< the CMake option that leaves the door out
  bool built;
};

/// Every door there is, in the order in which a person reads them. What a client tries first is told by kFastestFirst
/// in client/cpp/door_client.cc, which leaves handle to those who ask for it.
inline constexpr std::array<DoorName, 4> kDoorNames{{
    {"ring", "RINGSIDE_DOOR_RING", kDoorRingBuilt},
    {"handle", "RINGSIDE_DOOR_HANDLE", kDoorHandleBuilt},
    {"grpc", "RINGSIDE_DOOR_GRPC", kDoorGrpcBuilt},
    {"http", "RINGSIDE_DOOR_HTTP", kDoorHttpBuilt},
}};

}  // namespace ringside
