# SPDX-License-Identifier: MIT
# bench/NAME.c becomes bench_NAME, built by `ninja benches` only. What it prints: see tools/bench.py.
add_custom_target(benches)
file(GLOB bench_sources CONFIGURE_DEPENDS bench/*.c)
foreach(source ${bench_sources})
  get_filename_component(name ${source} NAME_WE)
  add_executable(bench_${name} EXCLUDE_FROM_ALL ${source})
  target_link_libraries(bench_${name} PRIVATE srvthreds_core)
  add_dependencies(benches bench_${name})
endforeach()
