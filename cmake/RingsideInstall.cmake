# What `cmake --install` brings, in two components, and the two Debian packages that CPack makes of them:
# ringside (programs, units, man pages, completion) and dev (the client library's headers, the contracts).
set(DEV_INCLUDE include/ringside)

# ringside_install_headers(a.h …): these and every header of ours that they include, at their paths.
function(ringside_install_headers)
  set(todo ${ARGN})
  set(done)
  while(todo)
    list(POP_FRONT todo header)
    if(header IN_LIST done)
      continue()
    endif()
    list(APPEND done "${header}")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${header}")
    get_filename_component(folder "${header}" DIRECTORY)
    install(FILES "${header}" DESTINATION "${DEV_INCLUDE}/${folder}" COMPONENT dev)
    file(STRINGS "${header}" lines REGEX "^#include \"")
    foreach(line IN LISTS lines)
      string(REGEX REPLACE "^#include \"([^\"]+)\".*" "\\1" included "${line}")
      list(APPEND todo "${included}")
    endforeach()
  endwhile()
endfunction()
ringside_install_headers(client/cpp/client.h)

# The client library as one shared object: who links it needs nothing of what it is built with.
add_library(ringside_client_shared SHARED
  $<TARGET_OBJECTS:ringside_client> $<TARGET_OBJECTS:ringside_mcp> $<TARGET_OBJECTS:ringside_base>)
set_target_properties(ringside_client_shared PROPERTIES
  LINKER_LANGUAGE CXX OUTPUT_NAME ringside_client EXPORT_NAME client VERSION ${PROJECT_VERSION} SOVERSION 0
  LINK_DEPENDS "${CMAKE_SOURCE_DIR}/packaging/client.map")
target_link_libraries(ringside_client_shared PRIVATE ringside_client ringside_mcp ringside_base)
target_link_options(ringside_client_shared PRIVATE
  "-Wl,--version-script=${CMAKE_SOURCE_DIR}/packaging/client.map")
target_compile_features(ringside_client_shared INTERFACE cxx_std_20)
install(TARGETS ringside_client_shared EXPORT ringside
  LIBRARY DESTINATION lib COMPONENT ringside NAMELINK_COMPONENT dev
  INCLUDES DESTINATION ${DEV_INCLUDE})
install(EXPORT ringside NAMESPACE ringside:: FILE ringside-targets.cmake DESTINATION lib/cmake/ringside COMPONENT dev)
include(CMakePackageConfigHelpers)
write_basic_package_version_file("${CMAKE_BINARY_DIR}/packaging/ringside-config-version.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES packaging/ringside-config.cmake "${CMAKE_BINARY_DIR}/packaging/ringside-config-version.cmake"
  DESTINATION lib/cmake/ringside COMPONENT dev)

# Man pages: the Markdown of docs/man is their only source.
find_program(LOWDOWN lowdown REQUIRED)
find_program(GZIP gzip REQUIRED)
set(MAN_PAGES)
foreach(page IN ITEMS ringsided.8 ringside.1)
  string(REGEX REPLACE "^(.*)\\.([0-9])$" "\\1;\\2" parts "${page}")
  list(GET parts 0 title)
  list(GET parts 1 section)
  set(out "${CMAKE_BINARY_DIR}/man/${page}")
  add_custom_command(OUTPUT "${out}.gz"
    COMMAND "${CMAKE_COMMAND}" -E make_directory "${CMAKE_BINARY_DIR}/man"
    COMMAND "${LOWDOWN}" -s -Tman --out-no-smarty -m "title=${title}" -m "section=${section}"
            -m "source=Ringside ${PROJECT_VERSION}" -o "${out}" "${CMAKE_SOURCE_DIR}/docs/man/${page}.md"
    COMMAND "${GZIP}" -9nf "${out}"
    DEPENDS "${CMAKE_SOURCE_DIR}/docs/man/${page}.md"
    VERBATIM)
  list(APPEND MAN_PAGES "${out}.gz")
  install(FILES "${out}.gz" DESTINATION "share/man/man${section}")
endforeach()
add_custom_target(man ALL DEPENDS ${MAN_PAGES})

install(FILES client/cli/completion/ringside.bash DESTINATION share/bash-completion/completions RENAME ringside)
install(FILES client/cli/completion/_ringside DESTINATION share/zsh/vendor-completions)
install(FILES client/cli/completion/ringside.fish DESTINATION share/fish/vendor_completions.d)
file(GLOB UNITS CONFIGURE_DEPENDS systemd/*.service systemd/*.socket)
install(FILES ${UNITS} DESTINATION lib/systemd/system)
install(FILES systemd/ringside.sysusers.conf DESTINATION lib/sysusers.d RENAME ringside.conf)
install(FILES systemd/ringside.tmpfiles.conf DESTINATION lib/tmpfiles.d RENAME ringside.conf)
install(FILES README.md CHANGELOG.md docs/operations.md docs/protocol.md examples/config/ringside.json
  DESTINATION share/doc/ringside)
# Only for the package: `cmake --install` does not write outside of its prefix.
install(FILES packaging/ringside.json DESTINATION /etc/ringside EXCLUDE_FROM_ALL)
foreach(package IN ITEMS ringside ringside-dev)
  string(REPLACE ringside-dev dev component "${package}")
  install(FILES LICENSE DESTINATION "share/doc/${package}" COMPONENT ${component} RENAME copyright)
endforeach()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_VENDOR Ringside)
set(CPACK_PACKAGE_CONTACT "Ringside <ringside@localhost>")
set(CPACK_PACKAGE_DIRECTORY "${CMAKE_SOURCE_DIR}/build/package")
set(CPACK_COMPONENTS_ALL ringside dev)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_RINGSIDE_PACKAGE_NAME ringside)
set(CPACK_DEBIAN_RINGSIDE_PACKAGE_SECTION net)
set(CPACK_DEBIAN_RINGSIDE_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_RINGSIDE_PACKAGE_DEPENDS
  "init-system-helpers (>= 1.54~), systemd | systemd-standalone-sysusers | systemd-sysusers")
set(CPACK_COMPONENT_RINGSIDE_DESCRIPTION "A supervisor and crash-isolated workers that serve MCP beside a gateway: gRPC, shared-memory
rings and HTTP over Unix sockets. The first client's connection starts the service.")
foreach(file IN ITEMS postinst prerm postrm conffiles triggers)
  list(APPEND CPACK_DEBIAN_RINGSIDE_PACKAGE_CONTROL_EXTRA "${CMAKE_SOURCE_DIR}/packaging/${file}")
endforeach()
set(CPACK_DEBIAN_DEV_PACKAGE_NAME ringside-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "ringside (= ${PROJECT_VERSION})")
set(CPACK_COMPONENT_DEV_DESCRIPTION "Development files. The C++ client library's headers, a CMake package (find_package(ringside)), and the contracts
(.proto) that clients in any language are generated from.")
include(CPack)
