# ringside_library(NAME SOURCES a.cc … [DEPS x …]): a static library of our own code.
function(ringside_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC ${ARG_DEPS} PRIVATE ringside_flags)
  target_include_directories(${name} PUBLIC "${CMAKE_SOURCE_DIR}")
endfunction()

# ringside_program(NAME SOURCES a.cc … [DEPS x …]): a program, in build/<preset>/bin/.
function(ringside_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} ringside_flags)
endfunction()

# ringside_test(NAME SOURCES a_test.cc … [DEPS x …] [LABELS unit …] [TIMEOUT s] [PROGRAMS p …] [SERIAL]):
# one GoogleTest program, run by ctest as one test; PROGRAMS are built first.
function(ringside_test name)
  cmake_parse_arguments(ARG "SERIAL" "TIMEOUT" "SOURCES;DEPS;LABELS;PROGRAMS" ${ARGN})
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main ringside_flags)
  if(ARG_PROGRAMS)
    add_dependencies(${name} ${ARG_PROGRAMS})
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES
    FAIL_REGULAR_EXPRESSION "\\[  SKIPPED \\]"
    LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT}
    ENVIRONMENT "RINGSIDE_BIN_DIR=${CMAKE_RUNTIME_OUTPUT_DIRECTORY};RINGSIDE_SOURCE_DIR=${CMAKE_SOURCE_DIR}")
  if(ARG_SERIAL)
    set_tests_properties(${name} PROPERTIES RUN_SERIAL TRUE)
  endif()
endfunction()
