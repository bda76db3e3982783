# SPDX-License-Identifier: MIT
# Compiler and linker flags, one interface target.
add_library(srvthreds_flags INTERFACE)
target_compile_definitions(srvthreds_flags INTERFACE _GNU_SOURCE SRVTHREDS_VERSION="${PROJECT_VERSION}")
# The commit this is built from, read again with each commit; the one file that says it is metrics.c.
set(SRVTHREDS_REVISION "unknown")
find_package(Git QUIET)
if(GIT_FOUND)
  execute_process(COMMAND ${GIT_EXECUTABLE} describe --always --abbrev=12 WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
    OUTPUT_VARIABLE described OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  execute_process(COMMAND ${GIT_EXECUTABLE} rev-parse --git-path logs/HEAD WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
    OUTPUT_VARIABLE head_log OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(NOT failed)
    set(SRVTHREDS_REVISION ${described})
    get_filename_component(head_log "${head_log}" ABSOLUTE BASE_DIR ${CMAKE_SOURCE_DIR})
    if(EXISTS ${head_log})
      set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${head_log})
    endif()
  endif()
endif()
set_source_files_properties(${CMAKE_SOURCE_DIR}/core/observe/metrics.c PROPERTIES
  COMPILE_DEFINITIONS SRVTHREDS_REVISION="${SRVTHREDS_REVISION}")

target_compile_options(srvthreds_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
  -Wstrict-prototypes -Wmissing-prototypes -fno-common -fno-omit-frame-pointer)
# A test of the store doesn't load a database's client, whose load has effects of its own.
target_link_options(srvthreds_flags INTERFACE -Wl,--as-needed)
if(SRVTHREDS_WERROR)
  target_compile_options(srvthreds_flags INTERFACE -Werror)
endif()
if(SRVTHREDS_FAULTS)
  target_compile_definitions(srvthreds_flags INTERFACE SRVTHREDS_FAULTS=1)
endif()
if(SRVTHREDS_SANITIZE)
  target_compile_options(srvthreds_flags INTERFACE -fsanitize=${SRVTHREDS_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(srvthreds_flags INTERFACE -fsanitize=${SRVTHREDS_SANITIZE})
elseif(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  target_compile_options(srvthreds_flags INTERFACE -fstack-protector-strong -D_FORTIFY_SOURCE=2)
  target_link_options(srvthreds_flags INTERFACE -Wl,-z,relro,-z,now)
endif()
