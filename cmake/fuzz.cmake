# SPDX-License-Identifier: MIT
# One libFuzzer program NAME_fuzz per tests/fuzz/NAME_fuzz.c, with sources of its own so that they are instrumented:
#  CC=clang cmake -B build-fuzz -G Ninja -DSRVTHREDS_FUZZ=ON && ninja -C build-fuzz fuzzers && build-fuzz/json_fuzz
file(GLOB fuzz_sources CONFIGURE_DEPENDS tests/fuzz/*_fuzz.c)
add_library(srvthreds_fuzzed STATIC EXCLUDE_FROM_ALL ${core_sources})
target_include_directories(srvthreds_fuzzed PUBLIC core)
target_link_libraries(srvthreds_fuzzed PUBLIC srvthreds_flags srvthreds_deps)
target_compile_options(srvthreds_fuzzed PUBLIC -g -O1 -fsanitize=fuzzer-no-link,address,undefined
  -fno-sanitize-recover=all)
add_custom_target(fuzzers)
foreach(source ${fuzz_sources})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} EXCLUDE_FROM_ALL ${source})
  target_link_libraries(${name} PRIVATE srvthreds_fuzzed)
  target_link_options(${name} PRIVATE -fsanitize=fuzzer,address,undefined)
  add_dependencies(fuzzers ${name})
endforeach()
